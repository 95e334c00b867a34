"""The version of the package and the bundle."""

__version__ = "0.2.0"
