"""`python -m scraper_agent`."""

from scraper_agent.cli import main

if __name__ == "__main__":
    main()
