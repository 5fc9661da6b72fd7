#!/usr/bin/env python3
"""Writes METEOR's whole paraphrase table in the form that the scores read (experiments/data/meteor/README.md).

    pip download --no-deps pycocoevalcap==1.2 && unzip pycocoevalcap-1.2-*.whl 'pycocoevalcap/meteor/data/*'
    cp -r experiments/data DATA
    python3 tools/meteor_paraphrases.py pycocoevalcap/meteor/data/paraphrase-en.gz DATA/meteor/paraphrases.xz
    export CAMBIUM_DATA=DATA
"""

import gzip
import lzma
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    paraphrases = {}
    with gzip.open(sys.argv[1], "rt", encoding="utf-8") as table:  # three lines an entry: probability, phrase, paraphrase
        while table.readline():
            phrase, paraphrase = table.readline().rstrip("\n"), table.readline().rstrip("\n")
            paraphrases.setdefault(phrase, []).append(paraphrase)
    with lzma.open(sys.argv[2], "wt", encoding="utf-8", preset=1) as out:
        for phrase in sorted(paraphrases):
            out.write("\t".join([phrase, *paraphrases[phrase]]) + "\n")


main()
