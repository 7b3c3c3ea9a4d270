"""Texts in which it is hard to say where a word begins and ends."""

NFD = (
    "We met at the cafe\u0301 by the river.",
    "We met at the cafe by the river.",
    "They closed the cafe\u0301 after rain.",
    "They closed the cafe after rain.",
    "Le café est fermé.",
)


HINDI = ("मैं किताब पढ़ता हूँ और कि वह आता है", "वह कहता है कि किताब अच्छी है", "राम ने कहा कि वह आएगा")


CHINESE = ("她喝了她的茶。", "她给了她一杯茶。", "护士说她的杯子满了。")


PUNCTUATION = (
    "She drank her tea, slowly. He left.",
    "He gave her tea, gladly. She sat.",
    "We saw her tea, cold. It stood.",
)


APOSTROPHES = (
    "She can swim in the lake.",
    "She can't swim in the lake.",
    "We can go to the lake.",
    "We can’t go to the lake.",
    "It is hers and it's her book.",
    "The dog wagged its tail, it's happy.",
    "John's book is John's.",
)
