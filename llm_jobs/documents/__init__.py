"""From the text of a document, in any accepted format, to one parsed value; and the identity of jobs and calls."""
