"""The customs robot: reads ERP pages, maps, checks, signs and transmits standard documents."""

__version__ = "0.1.0"
