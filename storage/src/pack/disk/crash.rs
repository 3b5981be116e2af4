//! A disk in memory that can fail at its Nth call and lose, tear or keep what was not synced.
