"""The command `llmbase`: one group, one file per command."""

from __future__ import annotations

import os
from importlib import import_module

import click

# gRPC's fork handlers are for children that go on as Python; ours are other programs at once.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
# What its core says on standard error we say too, in a line that names what can be mended.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# The engine that gRPC's Python had until 1.79: the newer one wakes a thread more for what arrives.
# With it a gateway and its service cost a tenth less for an answer.
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")

_COMMANDS = {
    "up": "Serve both doors, gRPC and REST, in one process.",
    "service": "Serve the gRPC door alone.",
    "gateway": "Serve the REST door alone, in front of a service.",
    "health": "Say whether the doors on this machine take calls.",
    "check": "Check a configuration file.",
    "providers": "List the dialects, and the providers that each needs no more than a key for.",
    "models": "List the models of a running service.",
    "chat": "Chat with a model in the terminal.",
    "explain": "Say how a request would be routed, and why.",
    "model": "Get local models.",
    "accounts": "Make and list accounts, and give them money.",
    "keys": "Make, list, revoke and rotate API keys.",
    "usage": "Show what was used, and what it cost.",
    "migrate": "Bring the tables of the store up to date.",
}


class _Lazy(click.Group):
    """Imports a command when it is used: `--help` needs neither gRPC nor aiohttp."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"cli.{cmd_name}").command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="llmbase")
def main() -> None:
    """Many LLM providers behind one typed gRPC service and one OpenAI-compatible REST API.

    Start with `llmbase up`: it answers with a small local model until you give it a
    configuration.
    """


if __name__ == "__main__":
    main(prog_name="llmbase")
