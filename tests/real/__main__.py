"""Runs the cases, two at a time, and prints the result of each.

    python3 tests/real HALLPASS [--full] [WORD…]  only cases whose module or name contains one of the words
    python3 tests/real --list

`--full` includes the cases that take minutes to prepare.

`tests/run` installs missing dependencies, builds hallpass and runs this.
"""

import importlib
import multiprocessing
import pathlib
import signal
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

import rig  # noqa: E402
import sandbox  # noqa: E402

FULL = "--full"


def main(arguments):
    unknown = [word for word in arguments if word.startswith("-") and word not in (FULL, "--list")]
    if not arguments or unknown:
        print(__doc__)
        return 0 if unknown and unknown[0] in ("-h", "--help") else 2
    # A shell makes background commands ignore SIGINT and SIGQUIT, and nohup makes them ignore SIGHUP.
    # The programs under test must not inherit that.
    for ended_by in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(ended_by, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for module in sorted(path.stem for path in (HERE / "cases").glob("*.py")):
        importlib.import_module(f"cases.{module}")
    if arguments[:1] == ["--list"]:
        print("\n".join(title(f) + (" (--full)" if f.full else "") for f in rig.CASES))
        return 0
    program, words = pathlib.Path(arguments[0]).resolve(), [word for word in arguments[1:] if word != FULL]
    named = [f for f in rig.CASES if not words or any(word in title(f) for word in words)]
    chosen = [f for f in named if FULL in arguments or not f.full]
    left_out = f"{len(named) - len(chosen)} left out, which run with {FULL}" if len(named) > len(chosen) else ""
    if not chosen:
        print(left_out or f"no case has {' or '.join(words)} in its name", file=sys.stderr)
        return 2

    # Most cases spend their time waiting, so running two at a time takes little more than half as long.
    # Cases that start hundreds of processes, or that measure time, run alone at the end.
    together = [function for function in chosen if not function.alone]
    apart = [function for function in chosen if function.alone]
    chosen = together + apart
    PROGRAM.append(program)
    with multiprocessing.get_context("fork").Pool(min(2, len(together)) or 1) as pool:
        outcomes = pool.map(run_numbered, map(rig.CASES.index, together), chunksize=1)
    outcomes += [run(function, program) for function in apart]
    print()
    for function, (outcome, seconds, _) in zip(chosen, outcomes):
        print(f"{outcome:8}{seconds:7.1f} s  {title(function)}")
    blocked = [reason for outcome, _, reason in outcomes if outcome == "blocked"]
    print()
    if blocked:
        print(f"blocked: {len(blocked)}")
        for reason in blocked:
            print(f"  blocked: {reason}")
    if left_out:
        print(left_out)
    count = [outcome for outcome, _, _ in outcomes].count
    print(f"{count('passed')} passed, {count('FAILED')} failed")
    return 1 if count("FAILED") else 0


PROGRAM = []


def run_numbered(index):
    """Runs the case with this index, in a worker process."""
    return run(rig.CASES[index], PROGRAM[0])


def run(function, program):
    """Runs one case in its own sandbox, and returns its outcome, its seconds and why it was blocked."""
    started = time.monotonic()
    name = title(function)
    one = rig.Rig(program)
    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(function.limit)
    outcome, reason = "passed", None
    try:
        function(one)
        one.check_that_nothing_leaked()
    except sandbox.Blocked as blocked:
        outcome, reason = "blocked", f"{name} ({blocked})"
    except Exception as error:  # noqa: BLE001: go on with the next case
        outcome = "FAILED"
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/cases/" in f.filename]
        where = f" (line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
        print(f"\n--- {name}{where}\n{type(error).__name__}: {error}\n{one.transcript()}\n", flush=True)
    finally:
        signal.alarm(0)
        one.close()
    seconds = time.monotonic() - started
    print(f"{outcome}: {name} ({seconds:.1f} s)", flush=True)
    return outcome, seconds, reason


def out_of_time(_signal, _frame):
    raise TimeoutError("the case timed out")


def title(function):
    return f"{function.__module__.removeprefix('cases.')}: {function.__name__.replace('_', ' ')}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
