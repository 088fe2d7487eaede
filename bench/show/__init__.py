"""Tables and figures as data, and how they are drawn and printed."""
