"""Settings: what a training run is made of, read from TOML, checked strictly, and told apart by a digest.

Names are loaded when they are first used, from where `__init__.pyi` says that they stand: what only wants a digest
does not wait for all options.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
