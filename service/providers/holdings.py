"""What a configuration's providers have open: connections, credentials, local engines.

What is the same in the configuration before is shared with it, not opened again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from service.config import Config, ProviderConfig
from service.providers import build
from service.providers.build import Trust
from service.providers.embedded import EmbeddedEngine
from service.providers.images import ImageFetcher
from service.providers.provider import AnyProvider
from service.providers.shared import Shared
from telemetry.metrics import Metrics


class Holdings:
    """Opened by `open` and `start`, in this order; closed by `close`, whatever of it there is.

    Everything needs a running loop, but nothing waits in `open`.
    """

    def __init__(self, config: Config, trusted: Mapping[str, Trust]) -> None:
        """`trusted` is what `build.trust_all` made of this configuration."""
        self._config = config
        self._trusted = trusted
        self._providers: dict[str, Shared[AnyProvider]] = {}
        self._images: Shared[ImageFetcher] | None = None
        self._engines: dict[str, Shared[EmbeddedEngine]] = {}
        self._new_engines: list[EmbeddedEngine] = []

    def open(
        self,
        models_directory: Path,
        version: str,
        metrics: Metrics,
        before: Holdings | None = None,
    ) -> None:
        """Open what there is to open; `before` must not be closed yet."""
        self._open_engines(models_directory, before)
        if before is not None and before._images and before._config.images == self._config.images:
            self._images = before._images.share()
        else:
            images = ImageFetcher(self._config.images)
            self._images = Shared(images, images.close)
        for name, config in self._config.providers.items():
            kept = None if before is None else before._provider_like(name, self)
            if kept is not None:
                self._providers[name] = kept.share()
                continue
            engine = self._engines.get(name)
            provider = build.build(
                name,
                config,
                self._trusted[name],
                engine.it if engine else None,
                self._images.it,
                metrics,
                version,
            )
            self._providers[name] = Shared(provider, provider.close)

    @property
    def providers(self) -> dict[str, AnyProvider]:
        """The providers by name."""
        return {name: shared.it for name, shared in self._providers.items()}

    async def start(self) -> None:
        """Start the local engines that do not run yet. Raises EngineError."""
        starting = [asyncio.ensure_future(engine.start()) for engine in self._new_engines]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            # No engine may come up after `close`.
            for start in starting:
                start.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            raise

    async def close(self) -> None:
        """Close what nobody shares: what needs another thing goes before it."""
        providers, self._providers = self._providers, {}
        await asyncio.gather(*(shared.release() for shared in providers.values()))
        images, self._images = self._images, None
        if images is not None:
            await images.release()
        engines, self._engines = self._engines, {}
        await asyncio.gather(*(shared.release() for shared in engines.values()))

    def _open_engines(self, models_directory: Path, before: Holdings | None) -> None:
        fresh = build.engines(self._config.providers, models_directory)
        for name, engine in fresh.items():
            config = self._config.providers[name]
            running = before._engines.get(name) if before is not None else None
            if before and running and _engine(before._config.providers[name]) == _engine(config):
                self._engines[name] = running.share()
            else:
                self._engines[name] = Shared(engine, engine.stop)
                self._new_engines.append(engine)

    def _provider_like(self, name: str, after: Holdings) -> Shared[AnyProvider] | None:
        """Return the provider, if it is what would be made for the configuration after."""
        same = (
            self._config.providers.get(name) == after._config.providers[name]
            and self._trusted[name].files == after._trusted[name].files
            and self._images is after._images
        )
        return self._providers.get(name) if same else None


def _engine(config: ProviderConfig) -> tuple[object, ...]:
    """Return what an engine is started with."""
    return config.model, config.threads, config.context_length
