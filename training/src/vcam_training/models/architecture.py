"""What a config names as its network."""

from typing import Protocol

import keras


class Architecture(Protocol):
    """A frozen dataclass of a network's parameters."""

    @property
    def target_layer(self) -> str:
        """Layer whose cells the map shows, as `target_layer.target_layer` takes it."""

    def build(
        self, grid: tuple[int, ...], intensity: keras.layers.Layer, outputs: int
    ) -> keras.Model:
        """The network, untrained.

        Args:
            grid: voxels along each tensor axis, two or three of them.
            intensity: layer from physical values [B, *grid, 1] to what the network sees,
                with one or more channels.
            outputs: logits; 1 for a single positive class.

        Raises:
            ConfigError: the network can't be built on that grid.
        """
