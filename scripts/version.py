"""The version of the package and the bundle."""

__version__ = "0.1.0"
