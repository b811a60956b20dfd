-- corpus_wikiqa: questions and sentences of Wikipedia that may answer them (Yang, Yih and Meek 2015); records as corpus_trecqa has them.
return {folder = "wikiqa", files = {"train.tsv", "dev.tsv", "test.tsv"}, read = require "attn.corpus_trecqa".read,
    origin = "WikiQA (Yang, Yih and Meek 2015): WikiQA_Corpus of the GitHub repository galsang/ABCNN, columns question, "
        .. "answer, label (0 or 1) apart by tabs; of the training file the questions with a right answer, every eighth of "
        .. "them as dev.tsv"}
