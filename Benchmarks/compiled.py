"""The benchmarks' own programs in C and C++, compiled when they are needed first and kept in .build/benchmarks.

What is kept is known by the hash of its sources and of the commands that made it, so a change compiles anew.
"""

import hashlib
import os
import pathlib
import subprocess
import tempfile

from process import BenchmarkError

_DIRECTORY = pathlib.Path(__file__).resolve().parent
_REPOSITORY = _DIRECTORY.parent
_KEPT = _REPOSITORY / ".build" / "benchmarks"
# gRPC's headers take a minute of CPU time; on a machine with other work it may be many.
_PATIENCE = 1800.0

_PROTOS = ("common", "cacheclient", "cachepubsub")
_WARNINGS = ("-Wall", "-Wextra")


def compiled_c(name, *sources, libraries=()):
    """The program or, if it is called `.so`, the library of this name. The first source is the one that is compiled."""
    shared = ["-shared", "-fPIC"] if name.endswith(".so") else []
    linked = [f"-l{library}" for library in libraries]
    return _kept(name, sources, ["cc", "-O2", *_WARNINGS, *shared, "-o", name, _DIRECTORY / sources[0], *linked])


def compiled_grpc_peer():
    """The gRPC server in C++, with the code that protoc makes of the wire contract."""
    protos = _REPOSITORY / "api" / "proto"
    files = [protos / f"{name}.proto" for name in _PROTOS]
    source = _DIRECTORY / "grpc_peer" / "peer.cpp"
    made = [f"{name}{kind}.cc" for name in _PROTOS for kind in (".pb", ".grpc.pb")]
    return _kept(
        "grpc_peer", [source, *files],
        ["sh", "-c", 'exec protoc "$@" --plugin=protoc-gen-grpc="$(command -v grpc_cpp_plugin)"', "protoc",
         "-I", protos, "--cpp_out=.", "--grpc_out=.", *files],
        ["g++", "-std=c++17", "-O2", *_WARNINGS, "-I.", "-o", "grpc_peer", source, *made,
         "-lgrpc++", "-lgrpc", "-lgpr", "-labsl_synchronization", "-lprotobuf"])


def _kept(name, sources, *commands):
    """Runs the commands in an empty directory, unless that was done before, and gives the path of what they made."""
    commands = [[str(part) for part in command] for command in commands]
    digest = hashlib.sha256(repr(commands).encode())
    for source in sources:
        digest.update((_DIRECTORY / source).read_bytes())
    kept = _KEPT / f"{digest.hexdigest()[:16]}-{name}"
    if not kept.exists():
        _KEPT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_KEPT) as directory:
            for command in commands:
                _run(command, directory)
            os.replace(os.path.join(directory, name), kept)
    return str(kept)


def _run(command, directory):
    try:
        done = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, timeout=_PATIENCE, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise BenchmarkError(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{command[0]} did not end within {_PATIENCE:.0f} s") from None
    if done.returncode != 0:
        raise BenchmarkError(f"{command[0]} ended with code {done.returncode}: {' '.join(done.stderr.split())[:500]}")
