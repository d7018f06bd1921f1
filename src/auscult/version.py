"""The version, which the build, the reports and the files of a run all tell."""

__version__ = "0.1.0"
