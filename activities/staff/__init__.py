"""What each staff command does to the database, one file per area. Called by `activities.commands` only."""
