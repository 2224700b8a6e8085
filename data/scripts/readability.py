"""A model that is a program: how hard a text is to read, by the formula of Flesch and Kincaid (1975).

Reads the text from standard input, prints `{"text": "..."}`.
"""

import json
import re
import sys


def syllables(word: str) -> int:
    return max(1, len(re.findall(r"[aeiouy]+", word.lower().removesuffix("e"))))


text = sys.stdin.read()
sentences = max(1, len(re.findall(r"[.!?](?:\s|$)", text)))
words = re.findall(r"[A-Za-z]+", text)
spoken = sum(map(syllables, words))
per_sentence, per_word = len(words) / sentences, spoken / max(1, len(words))
if sys.argv[1] == "grade":
    value = 0.39 * per_sentence + 11.8 * per_word - 15.59
else:
    value = 206.835 - 1.015 * per_sentence - 84.6 * per_word
print(json.dumps({"text": f"{sys.argv[1]} {value:.1f}"}))
