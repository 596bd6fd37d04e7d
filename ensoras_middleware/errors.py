"""The errors of this project: one base, one kind for each mistake a site can make."""

from __future__ import annotations


class EnsorasError(Exception):
    """The base of every error that this project raises."""


class ConfigurationError(EnsorasError, ValueError):
    """The site's configuration cannot work; the message names the setting and the remedy."""
