"""Which turns continue a task; the right value of each is what a reader would say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.following import reading

CONTINUES = [
    "looks good, commit it",
    "Looks good, please commit it and then push the branch to origin.",
    "yes",
    "Yes, please go ahead with the plan you proposed above.",
    "ok",
    "go on",
    "continue",
    "next",
    "and now in Rust",
    "fix it",
    "Rewrite it so that it does not use recursion any more.",
    "Can you also handle the case where the list is empty?",
    "why?",
    "how so?",
    "are you sure?",
    "what about negative numbers?",
    "what if n is odd?",
    "And for n = 7?",
    "what about n = 0?",
    "What if n = 1?",
    "Why 6 and not 7?",
    "the second one",
    "shorter",
    "more detail please",
    "explain step 3",
    "use recursion instead",
    "thanks, go on",
    "great, now add tests",
    "lgtm",
    "I don't understand that",
    "weiter",
    "ja, mach das",
    "oui, continue",
    "sí, adelante con eso",
    "e agora em Python",
    "continua",
    "en nu in het Duits",
    "продолжай",
    "继续",
    "続けて",
    "계속해 주세요",
    "devam et",
]
ALONE = [
    "what is the capital of France?",
    "What is 2 + 2?",
    "2+2?",
    "what time is it in Tokyo?",
    "will it rain this afternoon?",
    "what's the weather like today?",
    "who wrote Hamlet?",
    "tell me a joke",
    "define entropy in simple words",
    "Translate to Spanish: good night",
    "ok, what is the capital of France?",
    "thanks, what are your opening hours?",
    "by the way, when does the shop close?",
    "New question: cats or dogs",
    "Was ist die Hauptstadt von Peru?",
    "quelle est la capitale du Pérou ?",
    "法国的首都是哪里?",
    "Prove Fermat's last theorem",
    "Which of these two functions is faster, and why?",
    "Write a short thank-you note to a colleague.",
    "fix this:\nfor i in range(3) print(i)",
]
COURTESY = [
    "thanks!",
    "Thank you very much, that is all",
    "great, thank you so much for your help",
    "danke",
    "merci beaucoup",
    "谢谢",
    "bye",
    "hi",
    "good morning!",
]
UNCLEAR = ["stop the timer", "add tests", "in Python", "and what is the capital of France?"]


ASKING_BACK = [
    "Can you double check?",
    "Can you add more detail?",
    "Could you elaborate?",
    "Can you shorten the answer?",
    "Would you recheck?",
    "Great! Could you also expand?",
    "Are you certain?",
    "Any mistakes?",
    "Are there any mistakes?",
    "Have you considered the alternatives?",
    "Is everything correct?",
    "Write the full solution",
    "What are the risks?",
    "What's the best option?",
    "Which assumptions did you make?",
    "Do you have any evidence?",
    "explain more simply",
    "Does the proof work for infinite groups?",
    "Could you double check all of the steps and correct any errors?",
    "Kannst du fortfahren?",
    "Bist du sicher?",
    "Gibt es Risiken?",
    "¿Puedes verificar?",
    "Peux-tu vérifier ?",
    "Puoi continuare?",
]
ASKED_OF_YOU = [
    "What are your opening hours?",
    "Can you recommend a restaurant?",
    "Are you open on Sunday?",
    "Can you translate 'station' into French?",
    "What is the capital of Portugal?",
    "Can you check my balance?",
    "Can you check my code?",
    "Can you summarize the plot of Hamlet?",
    "Can you explain photosynthesis?",
    "What are the side effects of ibuprofen?",
    "What is the answer to life?",
    "What is the result of the match?",
    "Kannst du ein Restaurant empfehlen?",
    "Peux-tu réserver une table ?",
]


@pytest.mark.parametrize("turn", ASKING_BACK)
def test_what_is_asked_of_the_answer_itself_continues(turn: str) -> None:
    assert reading(turn) == "continues"


@pytest.mark.parametrize("turn", ASKED_OF_YOU)
def test_what_is_asked_of_you_about_something_else_stands_alone(turn: str) -> None:
    assert reading(turn) == "alone"


@pytest.mark.parametrize("turn", CONTINUES)
def test_a_turn_that_points_back_continues(turn: str) -> None:
    assert reading(turn) == "continues"


@pytest.mark.parametrize("turn", ALONE)
def test_a_turn_that_says_what_it_is_about_stands_alone(turn: str) -> None:
    assert reading(turn) == "alone"


@pytest.mark.parametrize("turn", COURTESY)
def test_greetings_and_thanks_continue_nothing(turn: str) -> None:
    assert reading(turn) == "courtesy"


@pytest.mark.parametrize("turn", UNCLEAR)
def test_what_words_alone_do_not_decide_is_left_to_the_model(turn: str) -> None:
    assert reading(turn) == "unclear"


@given(st.text(max_size=200))
def test_any_text_is_read(turn: str) -> None:
    assert reading(turn) in {"alone", "courtesy", "continues", "unclear"}
