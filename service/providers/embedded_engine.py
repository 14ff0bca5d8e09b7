"""The embedded model's own process: llama.cpp's HTTP server on a private Unix socket.

It runs as a program and imports nothing of llmbase, so it can neither block nor crash the service.
It says `ready` on standard output once, and ends when its standard input does: with its parent.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the process is told, as JSON in its one argument."""

    model: str  # path of the GGUF file
    socket: str  # path to listen on, in a directory of its own; ends in `.sock`
    threads: int
    parallel: int  # conversations that are answered at once; more of them wait
    context_length: int  # tokens of each conversation, prompt and answer together
    max_tokens: int  # of an answer for which the request sets no limit


def main() -> None:
    """Serve until the parent is gone."""
    options = EngineOptions(**json.loads(sys.argv[1]))
    # The native code may print what it likes: standard output says `ready` and nothing else.
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # Waiting threads must not spin: the cores are shared with the service.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # A failed assertion must end the process at once, not attach a debugger to it first.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    try:
        server = _serve(options)
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(1)
    ready.write("ready\n")
    ready.close()
    sys.stdin.buffer.read()  # ends when the parent does, however that happens
    shutil.rmtree(Path(options.socket).parent, ignore_errors=True)
    del server
    os._exit(0)  # the server's threads know no other end


def _serve(options: EngineOptions) -> Any:
    """Load the model and listen. Raises ImportError, RuntimeError."""
    import xllamacpp  # noqa: PLC0415 - the parent reads this file for its options alone

    params = xllamacpp.CommonParams()
    params.model.path = options.model
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.n_parallel = options.parallel
    params.n_ctx = options.context_length * options.parallel  # llama.cpp divides it
    params.n_predict = options.max_tokens
    # A prompt is read in batches, and all conversations wait for the batch of one.
    params.n_batch = params.n_ubatch = 256
    params.cache_ram_mib = 0  # of prompts that are not in a slot; the default is 8 GiB
    params.prefill_assistant = False  # an assistant's turn at the end is no beginning of the answer
    params.sse_ping_interval = -1  # comments would hide a silence from the service
    params.ui = params.endpoint_slots = False
    params.verbosity = 1  # errors
    Path(options.socket).unlink(missing_ok=True)  # left by a process that was killed
    params.hostnames = [options.socket]
    return xllamacpp.Server(params)


if __name__ == "__main__":
    main()
