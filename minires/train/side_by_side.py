"""Several runs at a time, each in a process of its own.

A small net is thousands of short operations, too short to be shared by threads. Nets that have nothing to do
with each other can share the cores instead: with two threads allowed, two of them train at once.

What each process does is in worker.py.
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
from minires.train.interruption import polite_signals
from minires.train.watching import Report


def train_side_by_side(recipes, out, *, resume=False, follow=None, device="cpu"):
    """Train each of the recipes, {name: Recipe}, in OUT/NAME, as many at a time as there are threads.

    resume: go on with the runs that are there, see RunFolder.prepare.
    follow: called as follow(name, steps) for each run before the first starts; what it returns is called with
        a Report after each of that run's steps, in a thread of its own.
    device: "cpu", or "cuda" for a GPU, which one run at a time has to itself.
    They start in the order given, each with its part of the threads; data to be downloaded should be there
    already. Ctrl-C lets each finish its step and save, then raises TrainingInterrupted; what goes wrong in
    one stops the others in the same way and is raised here.
    """
    if not recipes:
        return
    at_a_time = 1 if device == "cuda" else min(len(recipes), get_num_threads())
    threads = get_num_threads() // at_a_time
    runs = [
        Run(recipe, Path(out) / name, resume, threads, device, follow and follow(name, recipe.iterations))
        for name, recipe in recipes.items()
    ]

    def watch(run):
        try:
            run.watch()
        except BaseException:
            for other in runs:
                other.stop()
            raise

    with polite_signals() as asked_to_stop, ThreadPoolExecutor(at_a_time) as pool:
        try:
            tasks = [pool.submit(watch, run) for run in runs]
            while wait(tasks, timeout=0.1).not_done:  # seconds; in between a signal is noticed
                if asked_to_stop():
                    for run in runs:
                        run.stop()
        except BaseException:  # Ctrl-C for the second time
            for run in runs:
                run.kill()
            raise
    failures = [task.exception() for task in tasks if task.exception()]
    if failures:  # first of all what made the others stop, if anything did
        raise min(failures, key=lambda e: (isinstance(e, TrainingInterrupted), -getattr(e, "step", 0)))


class Run:
    """One of the runs, as seen from outside: start its process, hear its reports, stop it."""

    def __init__(self, recipe, folder, resume, threads, device, on_report):
        job = {"recipe": recipe.to_json(), "folder": str(folder)}
        self.job = json.dumps(job | {"resume": resume, "threads": threads, "device": device})
        self.name, self.on_report = folder.name, on_report
        self.lock, self.process = threading.Lock(), None
        self.stopping = self.killed = False

    def watch(self):
        """Start the process, pass its reports on until it is done, and raise what went wrong in it."""
        if self.stopping:
            raise TrainingInterrupted(0, saved=True)
        # It finds modules where this process does; -P keeps the folder it is started in out of that.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-P", "-m", "minires.train.worker", self.job]
        # In a session of its own, because Ctrl-C goes to all processes of a terminal's at once.
        with Popen(command, env=environment, stdin=PIPE, stdout=PIPE, start_new_session=True) as process:
            with self.lock:
                self.process = process
            if self.stopping:
                self.kill() if self.killed else self.stop()
            try:
                for line in process.stdout:
                    self._hear(**json.loads(line))
                code = process.wait()
            finally:
                with self.lock:  # from here on there is nobody to talk to
                    self.process = None
        if code:
            raise RuntimeError(f"the process that trains {self.name} failed (exit code {code})")

    def stop(self):
        """Ask the process to save and stop after its step."""
        with self.lock:
            self.stopping = True
            if self.process is not None:
                with suppress(BrokenPipeError):  # it has ended in this very moment
                    os.write(self.process.stdin.fileno(), b"s")

    def kill(self):
        """End the process at once. Its last checkpoint stays."""
        with self.lock:
            self.stopping = self.killed = True
            if self.process is not None:
                self.process.kill()

    def _hear(self, report=None, error=None):
        if error is not None:
            raise as_it_was(**error)
        if self.on_report is not None:
            self.on_report(Report(**report))


def as_it_was(kind, message, members):
    """An error of minires.errors that was raised elsewhere."""
    error = getattr(errors, kind).__new__(getattr(errors, kind), message)
    vars(error).update(members)
    return error
