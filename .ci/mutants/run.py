"""Builds the library with all mutants in it, and tries each with the tests that execute it. See `run`."""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Of one process; a mutant can make a loop allocate without end.
MEMORY = 8 << 30
FIRST_GROUPS = [1, 2, 4, 8, 16, 32]
# What decides about a peer first.
MODULES = ["gate", "policy", "trust", "tls", "identity", "live", "endpoint", "reload"]

Test = collections.namedtuple("Test", "program directory name seconds")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("instrument")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--packages", nargs="+", required=True)
    parser.add_argument("--programs", nargs="+", help="with --more, these test programs only")
    parser.add_argument("--only", help="numbers of mutants, with commas")
    parser.add_argument("--more", action="store_true", help="tries what the last run left with other packages' tests")
    parser.add_argument("--built", action="store_true", help="uses the last build, and goes on with its results")
    parser.add_argument("--again", action="store_true", help="leaves out what was noticed before in files without a change")
    parser.add_argument("--longest", type=float, default=8, help="the seconds of the longest tests that are tried")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    work = options.work
    mutants = json.loads((work / "mutants.json").read_text())
    built = work / "built.json"
    if options.more:
        more(options, mutants)
        return
    if not options.built:
        left_out = build(options, mutants)
        programs = test_programs(options)
        tests, reached = record(programs, work, options.jobs)
        built.write_text(json.dumps([sorted(left_out.items()), tests, reached]))
    left_out, tests, reached = json.loads(built.read_text())
    left_out = dict(left_out)
    tests = [Test(*test) for test in tests]
    reached = {
        int(number): [tests[index] for index in indices if tests[index].seconds <= options.longest]
        for number, indices in reached.items()
    }
    numbers = [number for number in range(len(mutants)) if number not in left_out]
    if options.only is not None:
        numbers = [int(number) for number in options.only.split(",")]
    file = work / ("results.tsv" if options.only is None else "only.tsv")
    results = read_results(file) if options.built and options.only is None else {}
    if options.again:
        results = noticed_before(work, mutants) | results
        file.write_text("".join(line(number, result, mutants) for number, result in results.items()))
    numbers = [number for number in numbers if number not in results]
    with file.open("a" if results else "w") as log:
        results |= try_all(numbers, reached, mutants, options.jobs, log)
    report(mutants, {number: (why, "") for number, why in left_out.items()} | results)


def read_results(file):
    results = {}
    if file.exists():
        for text in file.read_text().splitlines():
            number, kind, by, _ = text.split("\t")
            results[int(number)] = (kind, by)
    return results


def line(number, result, mutants):
    return "\t".join([str(number), *result, mutants[number]["name"]]) + "\n"


def noticed_before(work, mutants):
    """What the run before this one noticed in files that are as they were."""
    text = (work / "before" / "results.tsv").read_text()
    before = {name: (kind, by) for _, kind, by, name in (text.split("\t") for text in text.splitlines())}
    trees = work / "before" / "tree", work / "tree"
    same = {mutant["file"]: len({(tree / mutant["file"]).read_bytes() for tree in trees}) == 1
            for mutant in mutants if (trees[0] / mutant["file"]).exists()}
    results = {}
    for number, mutant in enumerate(mutants):
        result = before.get(mutant["name"], ("", ""))
        if same.get(mutant["file"]) and result[0] == "caught":
            results[number] = result
    return results


def more(options, mutants):
    """The mutants that survived, with tests of other packages, in the program that is built."""
    file = options.work / "results.tsv"
    results = read_results(file)
    survivors = [number for number, (kind, _) in results.items() if kind in ("missed", "not reached")]
    if options.only is not None:
        survivors = [int(number) for number in options.only.split(",")]
    programs = test_programs(options)
    tests, reached = record(programs, options.work, options.jobs)
    reached = {number: [tests[index] for index in reached.get(number, [])] for number in survivors}
    with file.open("a") as log:
        found = try_all([number for number in survivors if reached[number]], reached, mutants, options.jobs, log)
    left_out = json.loads((options.work / "built.json").read_text())[0]
    report(mutants, {number: (why, "") for number, why in left_out} | results | found)


def environment(work):
    return dict(
        os.environ,
        CARGO_TARGET_DIR=str(work / "target"),
        CARGO_INCREMENTAL="1",
        CARGO_PROFILE_DEV_DEBUG="0",
        RUSTFLAGS="--cap-lints=allow",
        RUSTC_BOOTSTRAP="mutant_switch",
    )


def cargo(command, work):
    """The messages of cargo, and whether it succeeded."""
    command = ["cargo", *command, "--message-format=json"]
    done = subprocess.run(command, cwd=work / "changed", env=environment(work), stdout=subprocess.PIPE, check=False)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")], done.returncode == 0


def features(tree):
    text = (tree / "Cargo.toml").read_text()
    table = text.split("\n[features]\n")[1].split("\n[")[0]
    names = re.findall(r"^([a-z][\w-]*) =", table, re.MULTILINE)
    return ",".join(f"countersign/{name}" for name in names if name not in ("default", "fips"))


def build(options, mutants):
    """Builds the tests with all mutants that compile; the others, each with the reason."""
    work = options.work
    changed = work / "changed"
    if not changed.exists():
        shutil.copytree(work / "tree", changed)
    left_out = {}
    selected = ["--features", features(work / "tree"), "--package", "countersign"]
    rounds = [["check", *selected, "--lib"], ["check", *selected, "--lib", "--profile", "test"]]
    packages = [argument for package in options.packages for argument in ("--package", package)]
    rounds.append(["test", "--no-run", "--features", features(work / "tree"), *packages, "--tests"])
    for command in rounds:
        while True:
            regions = instrument(options, mutants, left_out)
            messages, succeeded = cargo(command, work)
            if succeeded:
                break
            rejected = {}
            for message in messages:
                if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
                    rejected |= blamed(message["message"], regions)
            new = {number: why for number, why in rejected.items() if number not in left_out}
            if not new:
                for message in messages:
                    if message["reason"] == "compiler-message" and message["message"]["level"] == "error":
                        print(message["message"]["rendered"])
                sys.exit("the errors above belong to no mutant")
            print(f"cargo {command[0]}: {len(new)} mutants are not accepted by the compiler", flush=True)
            left_out |= new
    return left_out


def instrument(options, mutants, left_out):
    work = options.work
    changed = work / "changed"
    for file in {mutant["file"] for mutant in mutants}:
        shutil.copyfile(work / "tree" / file, changed / file)
    manifest = (work / "tree" / "Cargo.toml").read_text()
    switch = 'mutant_switch = { path = ".ci/mutants/switch" }'
    manifest = manifest.replace("\n[dependencies]\n", f"\n[dependencies]\n{switch}\n", 1)
    if (changed / "Cargo.toml").read_text() != manifest:
        (changed / "Cargo.toml").write_text(manifest)
    (work / "left_out").write_text("".join(f"{number}\n" for number in left_out))
    files = [work / "mutants.json", work / "left_out", changed, work / "regions.json"]
    subprocess.run([options.instrument, *map(str, files)], check=True)
    regions = json.loads((work / "regions.json").read_text())
    for number in regions["without"]:
        left_out[number] = "not possible here"
    return regions["files"]


def blamed(message, regions):
    """The mutants of the smallest region around the places of an error of the compiler."""
    # A match with an arm too few is reported at its beginning, and the arm with its guard is shown.
    shown = re.findall(r"mutant_switch::on\((\d+)\)", message["rendered"])
    if (message["code"] or {}).get("code") == "E0004" and shown:
        return {int(number): "does not compile here" for number in shown}
    spans = sorted(message["spans"], key=lambda span: not span["is_primary"])
    for span in spans:
        while span.get("expansion"):
            span = span["expansion"]["span"]
        around = [
            (end - start, numbers)
            for start, end, numbers in regions.get(span["file_name"], [])
            if start <= span["byte_start"] and span["byte_end"] <= end
        ]
        if around:
            size, numbers = min(around)
            why = "does not compile" if len(numbers) == 1 else "does not compile here"
            return {number: why for number in numbers}
    return {}


def test_programs(options):
    work = options.work
    packages = [argument for package in options.packages for argument in ("--package", package)]
    tests = [argument for program in options.programs or [] for argument in ("--test", program)] or ["--tests"]
    messages, succeeded = cargo(["test", "--no-run", "--features", features(work / "tree"), *packages, *tests], work)
    if not succeeded:
        sys.exit("the tests do not build")
    return [
        (message["executable"], str(pathlib.Path(message["manifest_path"]).parent))
        for message in messages
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]
    ]


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def run(program, directory, names, seconds, **variables):
    """The exit code of a program with these tests; None if it was ended."""
    process = subprocess.Popen(
        [program, "--exact", *names, "--test-threads=4"],
        cwd=directory,
        env=dict(os.environ, RUST_BACKTRACE="0", **variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=limited,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()


def record(programs, work, jobs):
    """Each test that passes, and for each mutant the tests that reach it."""
    every = []
    for program, directory in programs:
        listed = subprocess.run([program, "--list"], cwd=directory, stdout=subprocess.PIPE, text=True, check=True)
        names = re.findall(r"^(.*): test$", listed.stdout, re.MULTILINE)
        every += [(program, directory, name) for name in names]
    print(f"{len(every)} tests, one in each process", flush=True)

    def one(test):
        with tempfile.NamedTemporaryFile("r") as reached:
            start = time.monotonic()
            code = run(test[0], test[1], [test[2]], 300, MUTANTS_REACHED=reached.name)
            return code, time.monotonic() - start, [int(line) for line in reached]

    tests, of_mutants = [], collections.defaultdict(list)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for place, (test, (code, seconds, reached)) in enumerate(zip(every, pool.map(one, every), strict=True)):
            if place % 100 == 0:
                print(f"{place} done", flush=True)
            if code != 0:
                print(f"left out, since it does not pass alone: {test[2]} (exit code {code})", flush=True)
                continue
            for number in set(reached):
                of_mutants[number].append(len(tests))
            tests.append(Test(*test, seconds))
    return tests, of_mutants


def try_all(numbers, reached, mutants, jobs, log):
    results = {}
    numbers = sorted(numbers, key=lambda number: place_of(module_of(mutants[number])))
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tried = {pool.submit(try_one, number, reached.get(number, [])): number for number in numbers}
        for done in concurrent.futures.as_completed(tried):
            number = tried[done]
            results[number] = done.result()
            print(line(number, results[number], mutants), end="", file=log, flush=True)
            if len(results) % 100 == 0:
                print(f"{len(results)} of {len(numbers)} tried", flush=True)
    return results


def place_of(module):
    return MODULES.index(module) if module in MODULES else len(MODULES)


def module_of(mutant):
    return mutant["file"].split("/")[1]


def try_one(number, tests):
    """What happened to a mutant, and the test that noticed it, or how many did not."""
    waiting = sorted(tests, key=lambda test: test.seconds)
    if not waiting:
        return "not reached", ""
    count = len(waiting)
    sizes = iter(FIRST_GROUPS)
    while waiting:
        size = next(sizes, len(waiting))
        # A test that takes long is tried alone, so that one that never ends is noticed soon.
        size = max(1, sum(test.seconds < 5 for test in waiting[:size]))
        group, waiting = waiting[:size], waiting[size:]
        programs = collections.defaultdict(list)
        for test in group:
            programs[test.program, test.directory].append(test)
        for (program, directory), some in programs.items():
            limit = 10 + 3 * max(test.seconds for test in some) + sum(test.seconds for test in some) / 4
            again = lambda limit: run(program, directory, [test.name for test in some], limit, MUTANT=str(number))
            # On a machine with other work, tests may only be slow.
            code = again(limit)
            code = again(3 * limit) if code is None else code
            names = some[0].name + (f" and {len(some) - 1} others" if len(some) > 1 else "")
            if code is None:
                return "timeout", names
            if code != 0:
                return "caught", names
    return "missed", f"{count} tests"


def report(mutants, results):
    kinds = ["caught", "timeout", "missed", "not reached", "does not compile", "does not compile here", "not possible here"]
    modules = collections.defaultdict(collections.Counter)
    for number, (kind, _) in results.items():
        module = module_of(mutants[number])
        modules[module][kind] += 1
        modules["all"][kind] += 1
    print(f"{'':10}" + "".join(f"{kind:>22}" for kind in kinds) + f"{'caught of those tried':>24}")
    for module in sorted(modules, key=lambda module: (module == "all", place_of(module))):
        counts = modules[module]
        noticed = counts["caught"] + counts["timeout"]
        tried = noticed + counts["missed"] + counts["not reached"]
        share = f"{100 * noticed / tried:.1f} %" if tried else ""
        print(f"{module:10}" + "".join(f"{counts[kind]:>22}" for kind in kinds) + f"{share:>24}")
    for kind in ("missed", "not reached"):
        print(f"\n{kind}:")
        for number in sorted(results):
            if results[number][0] == kind:
                print(f"{number}\t{mutants[number]['name']}\t{results[number][1]}")


main()
