"""Models that are downloaded: what there is (a catalogue), what is installed, how it gets here. A leaf package."""
