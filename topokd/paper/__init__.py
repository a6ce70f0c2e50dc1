"""The paper's exhibits: what it reports, what was measured here, and the report that shows both."""
