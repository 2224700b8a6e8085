"""Run language-model jobs in bulk: every prompt is paid for once, every answer is kept."""
