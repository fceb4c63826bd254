"""`python -m scraper_agent`."""

if __name__ == "__main__":
    # A process that was spawned runs this file again under another name, and does without what a command needs.
    from scraper_agent.cli import main

    main()
