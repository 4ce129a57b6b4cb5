"""One run in a process of its own: python -m minires.train.worker JOB. side_by_side.py starts it.

JOB is JSON, an object with work()'s arguments; the recipe is what Recipe.to_json gives.

The process reports on its standard output, in lines of JSON: {"report": a Report} after each step, and
{"error": ...} for the error that ended it. Its standard input is a lifeline: a byte asks it to save and stop,
and where the input ends, because the process that started this one is gone, this one ends too.
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
from minires.train.trainer import train
from minires.train.watching import now_and_then


def work(recipe, folder, resume, threads, device):
    """Train, report every step, and stop when the lifeline says so."""
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints must not get between the reports
    asked_to_stop = threading.Event()
    threading.Thread(target=listen, args=(asked_to_stop,), daemon=True).start()

    def send(**message):
        print(json.dumps(message), file=reports, flush=True)

    def report(trainer):
        send(report=asdict(trainer.report()))

    report_step = report if device == "cpu" else now_and_then(report)

    def on_step(trainer):
        report_step(trainer)
        if asked_to_stop.is_set():
            trainer.stop()

    set_num_threads(threads)
    try:
        hardware = Hardware.choose(device)
        train(Recipe.from_json(recipe), folder, resume=resume, on_step=on_step, hardware=hardware)
    except MiniresError as error:
        send(error={"kind": type(error).__name__, "message": str(error), "members": vars(error)})


def listen(asked_to_stop):
    """Wait at the lifeline."""
    while os.read(sys.stdin.fileno(), 1):
        asked_to_stop.set()
    os._exit(1)  # at once: another process may take over the run now


if __name__ == "__main__":
    work(**json.loads(sys.argv[1]))
