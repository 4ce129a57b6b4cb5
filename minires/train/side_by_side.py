"""Several runs at a time, each in a process of its own.

A small net trains in thousands of short operations, too short to be divided among threads. Independent nets
can share the cores instead: with two threads allowed, two nets train at once.

The program of each process is worker.py.
"""

import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen

from minires import errors
from minires.backend import get_num_threads
from minires.errors import TrainingInterrupted
from minires.train.interruption import deferred_signals
from minires.train.reports import Report


def train_side_by_side(recipes, out, *, resume=False, follow=None, device="cpu"):
    """Train each of the recipes, {name: Recipe}, in OUT/NAME, as many at a time as there are threads.

    resume: go on with the runs that are there, see RunFolder.prepare.
    follow: called as follow(name, steps) for each run before the first starts; the function that it returns
        is called with a Report after each of that run's steps (on a GPU at most ten times a second, and after
        each evaluation), in a thread of its own.
    device: "cpu", or "cuda" for a GPU, which one run at a time has to itself.
    The runs start in the order given, each with its part of the threads; data sets should be downloaded
    before. Ctrl-C lets each run finish its step and save, then raises TrainingInterrupted; an error in one
    run stops the others in the same way and is raised here.
    """
    if not recipes:
        return
    concurrent_runs = 1 if device == "cuda" else min(len(recipes), get_num_threads())
    threads = get_num_threads() // concurrent_runs
    runs = [
        RunProcess(
            recipe, Path(out) / name, resume, threads, device, follow and follow(name, recipe.iterations)
        )
        for name, recipe in recipes.items()
    ]

    def train_or_stop_all(run):
        try:
            run.train()
        except BaseException:
            for other in runs:
                other.stop()
            raise

    with deferred_signals() as stop_requested, ThreadPoolExecutor(concurrent_runs) as pool:
        try:
            tasks = [pool.submit(train_or_stop_all, run) for run in runs]
            while wait(tasks, timeout=0.1).not_done:  # seconds; signals are looked for in between
                if stop_requested():
                    for run in runs:
                        run.stop()
        except BaseException:  # such as KeyboardInterrupt, at the second Ctrl-C
            for run in runs:
                run.kill()
            raise
    failures = [task.exception() for task in tasks if task.exception()]
    if failures:  # the error that made the others stop, if there is one, comes before interruptions
        raise min(failures, key=lambda e: (isinstance(e, TrainingInterrupted), -getattr(e, "step", 0)))


class RunProcess:
    """The process of one run: start it, receive its reports, stop it."""

    def __init__(self, recipe, folder, resume, threads, device, on_report):
        job = {"recipe": recipe.to_json(), "folder": str(folder)}
        self.job = json.dumps(job | {"resume": resume, "threads": threads, "device": device})
        self.name, self.on_report = folder.name, on_report
        self.lock, self.process = threading.Lock(), None
        self.stopping = self.killed = False

    def train(self):
        """Start the process, pass its reports on until it ends, and raise the error that ended it, if any."""
        if self.stopping:
            raise TrainingInterrupted(0, saved=True)
        # It imports modules from where this process does; -P keeps the current folder out of its sys.path.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
        command = [sys.executable, "-P", "-m", "minires.train.worker", self.job]
        # In a session of its own, because a terminal sends Ctrl-C to all processes in its foreground.
        with Popen(command, env=environment, stdin=PIPE, stdout=PIPE, start_new_session=True) as process:
            with self.lock:
                self.process = process
            if self.stopping:
                self.kill() if self.killed else self.stop()
            try:
                for line in process.stdout:
                    self._receive(**json.loads(line))
                code = process.wait()
            finally:
                with self.lock:  # it has ended: nothing is left to stop
                    self.process = None
        if code:
            raise RuntimeError(f"the process that trains {self.name} failed (exit code {code})")

    def stop(self):
        """Ask the process to save and stop after its step."""
        with self.lock:
            self.stopping = True
            if self.process is not None:
                with suppress(BrokenPipeError):  # the process has ended just now
                    os.write(self.process.stdin.fileno(), b"s")

    def kill(self):
        """End the process at once. Its last checkpoint stays."""
        with self.lock:
            self.stopping = self.killed = True
            if self.process is not None:
                self.process.kill()

    def _receive(self, report=None, error=None):
        if error is not None:
            raise rebuilt_error(**error)
        if self.on_report is not None:
            self.on_report(Report(**report))


def rebuilt_error(class_name, message, members):
    """An error of minires.errors that was raised in another process."""
    error = getattr(errors, class_name).__new__(getattr(errors, class_name), message)
    vars(error).update(members)
    return error
