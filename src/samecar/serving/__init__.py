"""Serving: a gallery over HTTP, and its web page.

Names are loaded when they are first used, from where `__init__.pyi` says that they stand: what a
service allows is known without the libraries that serve.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
