"""Documents that people write into files instead of an ERP: the template to fill in, and what comes back.

A file is read whole or not at all: anything that is not certain refuses it, with every such place told. What a rule of
the format says of a document is not asked here; that is the verdict of its job, as for pages.
"""
