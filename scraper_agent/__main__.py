"""`python -m scraper_agent`."""

from scraper_agent.cli import main

main()
