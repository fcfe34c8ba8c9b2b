"""Which lines of the library its tests execute, by module, from the tracefile of llvm-cov.

What does not count: test modules (`mod tests` and what follows it, files of tests), and `src/testing`, which is for
tests. The modules in LIMITS decide whether a peer is admitted, or hold what decides it: each has a limit, below which
this fails. The others call them (listener, client, stream, adapters to libraries) or are texts for people and outputs:
a line of theirs that no test executes cannot admit a peer, since each connection gets its decision in these modules.
"""

import argparse
import collections
import pathlib
import re
import sys

# Per cent of the lines.
LIMITS = dict.fromkeys(
    # What a certificate says, and whom it identifies; the roots, paths and revocation; the decision; the three steps;
    # the handshake, its alerts and its sessions; what is in force, and how it changes; open connections.
    ["pki", "identity", "trust", "policy", "gate", "tls", "endpoint", "live", "reload"],
    95,
)


def counted(path):
    """The numbers of the lines that count."""
    lines = path.read_text().splitlines()
    if path.name == "tests.rs" or "tests" in path.parts:
        return set()
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.strip().startswith("#[cfg(test)]") and re.match(r"\s*mod tests\b", following):
            return set(range(1, number + 1))
    return set(range(1, len(lines) + 1))


def executed(tracefile):
    """Per file: how often each line was executed."""
    files = collections.defaultdict(dict)
    for line in tracefile.read_text().splitlines():
        if line.startswith("SF:"):
            current = files[pathlib.Path(line[3:])]
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            current[int(number)] = current.get(int(number), 0) + int(count)
    return files


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("tracefile", type=pathlib.Path)
    arguments.add_argument("--show", help="prints the lines of a module that are not executed")
    arguments = arguments.parse_args()
    source = pathlib.Path(__file__).resolve().parent.parent / "src"
    modules = collections.defaultdict(lambda: [0, 0])
    for path, lines in sorted(executed(arguments.tracefile).items()):
        relative = path.relative_to(source)
        module = relative.parts[0].removesuffix(".rs")
        if module == "testing":
            continue
        counting = counted(path)
        text = path.read_text().splitlines()
        for number, count in sorted(lines.items()):
            if number not in counting:
                continue
            modules[module][0] += count > 0
            modules[module][1] += 1
            if count == 0 and arguments.show and str(relative).startswith(arguments.show):
                print(f"{relative}:{number}: {text[number - 1]}")
    print(f"{'module':<14} {'lines':>7} {'executed':>9} {'per cent':>9}  limit")
    below = []
    for module, (hit, total) in sorted(modules.items()):
        per_cent = 100 * hit / total
        limit = LIMITS.get(module)
        if limit is not None and per_cent < limit:
            below.append(module)
        print(f"{module:<14} {total:>7} {hit:>9} {per_cent:>9.2f}  {limit or '-'}")
    for module in LIMITS.keys() - modules.keys():
        below.append(module)
    if below:
        sys.exit(f"below the limit: {', '.join(sorted(below))}")


if __name__ == "__main__":
    main()
