"""One run in a process of its own: python -m minires.train.worker JOB. side_by_side.py starts it.

JOB is JSON, an object with the arguments of train_and_report(); the recipe is what Recipe.to_json returns.

The process writes lines of JSON to its standard output: {"report": a Report} after each step (on a GPU at
most ten times a second, and after each evaluation), and {"error": ...} for the error that ended it. A byte on
its standard input asks it to save and stop. The end of its standard input means that the process that started
it has ended; then this one ends too.
"""

import json
import os
import sys
import threading
from dataclasses import asdict

from minires.backend import set_num_threads
from minires.errors import MiniresError
from minires.recipes import Recipe
from minires.train.hardware import Hardware
from minires.train.reports import throttled
from minires.train.trainer import train


def train_and_report(recipe, folder, resume, threads, device):
    """Train, write reports, and stop when standard input asks for it."""
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # other output goes to standard error, not between the reports
    stop_requested = threading.Event()
    threading.Thread(target=listen, args=(stop_requested,), daemon=True).start()

    def send(**message):
        print(json.dumps(message), file=reports, flush=True)

    def report(trainer):
        send(report=asdict(trainer.report()))

    report_step = report if device == "cpu" else throttled(report)

    def on_step(trainer):
        report_step(trainer)
        if stop_requested.is_set():
            trainer.stop()

    set_num_threads(threads)
    try:
        hardware = Hardware.choose(device)
        train(Recipe.from_json(recipe), folder, resume=resume, on_step=on_step, hardware=hardware)
    except MiniresError as error:
        send(error={"class_name": type(error).__name__, "message": str(error), "members": vars(error)})


def listen(stop_requested):
    """Wait for bytes on standard input, and set the event `stop_requested` at each."""
    while os.read(sys.stdin.fileno(), 1):
        stop_requested.set()
    os._exit(1)  # at once: another process may take over the run now


if __name__ == "__main__":
    train_and_report(**json.loads(sys.argv[1]))
