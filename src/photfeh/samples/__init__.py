"""From light curves to labelled samples: measure, type, label, select, represent, store."""
