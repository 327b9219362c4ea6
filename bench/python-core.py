"""Measures VVAULT's own store, the class VVAULTCore of vvault/memory/vvault_core.py in a checkout of VVAULT.

    python-core.py CHECKOUT TASK PARAMETERS

TASK is store, retrieve, list or verify; PARAMETERS and the report on standard output are JSON, times are milliseconds.
Only that one module is loaded; its log is turned off, which makes it quicker.
"""

import importlib.util
import json
import logging
import os
import sys
import time


def load_core(checkout):
    sys.dont_write_bytecode = True
    sys.modules["psutil"] = None  # not wanted, whether it is installed or not
    logging.disable(logging.CRITICAL)
    name = "vvault_core_measured"
    path = os.path.join(checkout, "vvault", "memory", "vvault_core.py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module.VVAULTCore


def timed(work):
    begin = time.perf_counter()
    value = work()
    return value, (time.perf_counter() - begin) * 1000


def times_of(count, budget, work):
    """Times of `work`, at most `count`, and none that begins after `budget` milliseconds; at least one."""
    times = []
    end = time.perf_counter() + budget / 1000
    while len(times) < count and (not times or time.perf_counter() < end):
        times.append(timed(work)[1])
    return times


def texts_of(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def store(core, parameters):
    texts = texts_of(parameters["textsPath"])
    at_once = parameters["atOnce"]
    first = texts.pop(0)
    batch = [texts.pop() for _ in range(at_once)]
    # From its text on, as the other side: there a capsule comes as text too.
    store_text = lambda text: core.store_capsule(json.loads(text))
    report = {"first": timed(lambda: store_text(first))[1]}
    report["times"] = times_of(len(texts), parameters["budget"], lambda: store_text(texts.pop()))

    def store_batch():
        for text in batch:
            store_text(text)

    report["batch"] = timed(store_batch)[1] if parameters["withBatch"] else None
    report["stored"] = 1 + len(report["times"]) + (at_once if parameters["withBatch"] else 0)
    report["listed"] = len(core.list_capsules(parameters["instance"]))
    return report


def retrieve(core, parameters):
    def latest():
        result = core.retrieve_capsule(parameters["instance"])
        assert result.success, result.error_message
        return result.metadata.uuid

    uuid, first = timed(latest)
    return {"first": first, "times": times_of(parameters["repeats"], parameters["budget"], latest), "uuid": uuid}


def list_versions(core, parameters):
    work = lambda: core.list_capsules(parameters["instance"])
    entries, first = timed(work)
    return {"first": first, "times": times_of(parameters["repeats"], parameters["budget"], work), "listed": len(entries)}


def verify(core, parameters):
    """What its retrieve does with each capsule, without looking into the index again for each."""

    def check_all():
        folder = os.path.join(core.capsules_dir, parameters["instance"])
        checked = 0
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                core._validate_capsule_integrity(json.load(file))
            checked += 1
        return checked

    return {"times": times_of(parameters["repeats"], parameters["budget"], check_all), "checked": check_all()}


def main():
    checkout, task, text = sys.argv[1:]
    parameters = json.loads(text)
    tasks = {"store": store, "retrieve": retrieve, "list": list_versions, "verify": verify}
    core = load_core(checkout)(parameters["root"])
    print(json.dumps(tasks[task](core, parameters)))


main()
