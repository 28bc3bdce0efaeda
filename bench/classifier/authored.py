"""Prompts written for this project: what people ask a small model daily, and what they should not.

They carry weak labels in the default's training data (declared in the model card), because no
public outcome file holds everyday bounded work. Each family is expanded from its frames and
fillers; families in ``HELD_OUT`` are never trained on.
"""

from itertools import product

Families = dict[str, list[str]]

#: Whole families kept for evaluation.
HELD_OUT = frozenset(
    {"invoice", "smalltalk", "faq", "numbers", "systems", "clinical"}
    | {"contest", "physics", "statistics", "argument", "planning"}
)

_MAIL = (
    "Hi team, the shipment for order 48213 left Rotterdam on Tuesday and should be with you by "
    "Friday. Please have two people at the dock. Regards, Ilse"
)
_NOTE = (
    "The quarterly meeting covered hiring, the new office lease and the delay of the payroll "
    "migration. Finance asked for a revised plan by the end of the month."
)
_TICKET = (
    "Customer says the app logs him out every time he opens the camera. Phone is a Pixel 7, "
    "version 5.2.1. He has already reinstalled."
)
_REVIEW = "Arrived quickly and looks nice, but the battery barely lasts two hours."
_TEXTS = (_MAIL, _NOTE, _TICKET, _REVIEW)


def _fill(frames: list[str], *fillers: tuple[str, ...]) -> list[str]:
    return [frame.format(*chosen) for frame in frames for chosen in product(*fillers)]


_TOPICS = ("your opening hours", "the refund policy", "my invoice", "shipping to Norway", "a visa")
_WORDS = ("ambiguous", "mortgage", "photosynthesis", "deadline", "inflation")

EVERYDAY: Families = {
    "greeting": [
        "hi",
        "hello there",
        "good morning!",
        "hey, how are you?",
        "thanks a lot",
        "thank you, that helped",
        "ok great",
        "bye",
        "are you there?",
        "Hello, can you help me?",
        "who are you",
        "what can you do?",
    ],
    "smalltalk": [
        "how is your day going",
        "tell me a joke",
        "nice to meet you",
        "what's up?",
        "you are funny",
        "good night",
        "sorry, I was away",
        "yes please",
        "no, that is all",
    ],
    "faq": _fill(["Where can I find {0}?", "Can you tell me about {0}?"], _TOPICS),
    "account": [
        "How do I reset my password?",
        "I forgot my user name",
        "Please change my delivery address",
        "cancel my subscription",
        "How long does delivery take?",
        "Do you ship abroad?",
        "what is the wifi password for guests",
        "Can I pay with PayPal?",
        "My package is late, what now?",
        "How do I book a meeting room?",
        "Where do I submit travel expenses?",
        "How many vacation days do I have left?",
    ],
    "summary": _fill(
        ["Summarize this in one sentence: {0}", "{0}\n\nTL;DR", "Give me the key points of: {0}"],
        _TEXTS,
    ),
    "extract": _fill(
        [
            "Extract all dates and names from the text below.\n{0}",
            "Which product is mentioned here? {0}",
            'Return JSON with the keys "sender" and "topic" for: {0}',
        ],
        _TEXTS,
    ),
    "invoice": _fill(
        ["Pull the invoice number and the total out of this: {0}"],
        ("Invoice 2291, due 3 May, total 1,204.50 EUR", "INV-77 from Baker Ltd: $310 incl. tax"),
    ),
    "classify": _fill(
        [
            "Is the sentiment of this positive, negative or neutral? {0}",
            "Classify into billing, technical or other: {0}",
            "Answer yes or no: is this a complaint? {0}",
        ],
        _TEXTS,
    ),
    "rewrite": _fill(
        [
            "Make this more polite: {0}",
            "Correct the spelling and grammar: {0}",
            "Translate to German: {0}",
            "Write a subject line for this e-mail: {0}",
        ],
        _TEXTS,
    ),
    "lookup": _fill(
        ["What does {0} mean?", "Define {0} in simple words.", "Give a synonym for {0}."], _WORDS
    ),
    "facts": [
        "What is the capital of France?",
        "Who wrote Pride and Prejudice?",
        "How many ounces are in a pound?",
        "What day is it tomorrow?",
        "convert 30 celsius to fahrenheit",
        "What time zone is Denver in?",
        "What is 15% of 80?",
        "how tall is mount everest",
    ],
    "draft": [
        "Write a short thank-you note to a colleague.",
        "Write a two-line out-of-office reply.",
        "Draft a friendly reminder about an unpaid invoice.",
        "Give me three names for a bakery.",
        "Write a product description for a steel water bottle.",
        "Write a birthday wish for my sister.",
        "Suggest a title for a blog post about gardening.",
        "Format this list as a table: apples 3, pears 5, plums 8",
        "validate this e-mail address: ann@example.org",
        "Put these words in alphabetical order: pear, fig, apple",
    ],
}

_STRUCTURES = ("compact metric space", "finite group of order 2p", "Noetherian ring")
_SERVICES = ("a payment ledger", "a ride-matching service", "a feature store")

HARD: Families = {
    "theory": _fill(
        [
            "Prove that every continuous real function on a {0} satisfies the property you would "
            "expect, or construct a counterexample, justifying each step.",
            "State and prove a structure theorem for a {0}. Where is each hypothesis used?",
        ],
        _STRUCTURES,
    ),
    "proof": [
        "Prove that there are infinitely many primes congruent to 3 modulo 4.",
        "Show that the sum of 1/p over the primes diverges.",
        "Let f be entire with |f(z)| <= |z|^2 for all z. Determine all such f, with proof.",
        "Prove or disprove: every bounded sequence in L2 has a weakly convergent subsequence.",
        "Derive the Euler-Lagrange equation for a functional that depends on second derivatives.",
    ],
    "numbers": [
        "Find all integer solutions of x^2 - 7y^2 = 2 and prove the list is complete.",
        "How many ways can 10 people sit at a round table if three pairs refuse to be neighbours?",
        "Compute the expected number of rolls until a die has shown every face twice.",
        "Let a_n satisfy a_{n+2} = 3a_{n+1} - a_n. Prove that a_n divides a_{kn}.",
        "Evaluate the integral of log(1+x)/(1+x^2) from 0 to 1 and justify every step.",
        "Determine the Galois group of x^5 - 4x + 2 over the rationals.",
    ],
    "design": _fill(
        [
            "Design the architecture of {0} for 50,000 requests per second across three regions. "
            "Compare two consistency models and justify your choice with failure scenarios.",
            "{0} must survive the loss of a region with no lost writes. Work out the protocol, "
            "its quorum sizes and what a client sees during the switch.",
        ],
        _SERVICES,
    ),
    "systems": [
        "Our Raft cluster elects two leaders after a clock jump. Explain how that can happen and "
        "how to prove that a fix is correct.",
        "Design a lock-free multi-producer queue and argue its linearizability.",
        "A JVM service shows 2 s pauses only at night. Lay out a diagnosis plan that separates "
        "garbage collection, page cache and noisy neighbours.",
        "Plan a zero-downtime migration of a 4 TB table with foreign keys, with rollback points.",
    ],
    "coding": [
        "Implement a persistent red-black tree with deletion and analyse its amortised cost.",
        "Write a parser for a small typed lambda calculus with Hindley-Milner inference.",
        "Given n intervals with weights, find the maximum-weight set with at most k overlaps in "
        "O(n log n + nk) and prove the bound.",
        "Refactor this recursive solver into an iterative one that streams its results and keeps "
        "memory bounded; explain the invariants you rely on.",
        "Find the race condition in a double-checked lock without volatile and construct an "
        "interleaving that breaks it.",
        "Write a program that solves the travelling salesman problem with Held-Karp, then improve "
        "it with a lower bound from minimum spanning trees.",
    ],
    "science": [
        "Derive the dispersion relation of spin waves in a one-dimensional Heisenberg ferromagnet.",
        "A reaction shows a kinetic isotope effect of 5.6 and an inverse order in water. Propose a "
        "mechanism and say which experiments would rule out the alternatives.",
        "Estimate the Chandrasekhar limit from first principles, stating each approximation.",
        "Explain how a frameshift in exon 12 could rescue function, and design an experiment to "
        "distinguish exon skipping from reinitiation.",
        "Two loci are 12 cM apart with interference 0.3. Compute the expected double crossover "
        "classes in 2,000 testcross offspring and test the fit.",
        "Derive the renormalisation group flow of the phi^4 theory in 4 - epsilon dimensions.",
    ],
    "clinical": [
        "A 58-year-old on methotrexate has fever, pancytopenia and a new murmur. Rank the "
        "differential diagnosis and justify the order of tests.",
        "Compare three anticoagulation strategies for a patient with a mechanical valve, recent "
        "subdural haematoma and atrial fibrillation.",
        "A neonate has hyperammonaemia and respiratory alkalosis. Work through the urea cycle and "
        "say which enzyme defect fits orotic aciduria.",
    ],
    "law": [
        "Analyse whether a liquidated damages clause of 40% survives under English, German and New "
        "York law, and draft a version most likely to be enforced in all three.",
        "A joint venture partner invokes force majeure after export controls. Evaluate the claim, "
        "the counter-arguments and the likely remedies.",
        "Compare the data-transfer duties of a processor under three regimes and resolve the "
        "conflict between a discovery order and an erasure request.",
    ],
    "finance": [
        "Price a callable convertible bond with stochastic rates and explain which Greeks a hedger "
        "would misjudge with a one-factor model.",
        "Build a three-statement model for a firm that moves from licences to subscriptions and "
        "show how deferred revenue changes free cash flow over five years.",
        "Given these covenants, determine the optimal capital structure and stress it against a "
        "300 basis point shock, deriving each step.",
    ],
    "logic": [
        "Five people of five trades live in a row. The potter is left of the baker, Ann is not at "
        "an end, the smith is next to Bo, and Cy lives two doors from Di. Who is the tailor? Show "
        "the complete deduction.",
        "On an island knights tell the truth and knaves lie. A says: exactly one of us is a knave. "
        "B says: A and C are of different kinds. Determine every consistent assignment.",
        "Twelve coins, one counterfeit of unknown weight, three weighings: give a strategy and "
        "prove that it covers every case.",
        "Schedule seven talks in three rooms under these constraints and prove that no schedule "
        "with fewer slots exists: A before C, B not with D, E and F share a speaker.",
    ],
    "contest": [
        "Find the number of ordered pairs (a, b) of positive integers with lcm(a, b) = 2^3 * 5^7 * "
        "11^13.",
        "In triangle ABC, D lies on BC with BD = 2 DC and angle BAD = 30 degrees. If AD = 6 and AB "
        "= 9, find the area of ABC.",
        "How many 7-digit numbers have digits that first strictly increase and then strictly "
        "decrease?",
        "Real x, y, z satisfy x + y + z = 1 and x^2 + y^2 + z^2 = 2. Find the largest possible "
        "value of xyz and show when it is attained.",
        "A frog starts at 0 and jumps +2 or -1 with equal chance. What is the probability that it "
        "ever lands on 5? Explain the recursion you solve.",
    ],
    "physics": [
        "A bead slides without friction on a hoop that rotates about its vertical diameter. Find "
        "the equilibria, their stability and the bifurcation speed.",
        "A charged particle moves in crossed electric and magnetic fields with weak drag. Obtain "
        "the drift velocity to first order and discuss energy balance.",
        "Two masses on a spring hang from an accelerating lift with a leaking bucket on one side. "
        "Set up and solve the equations of motion.",
        "Compute the tunnelling rate through a double barrier and explain the resonances.",
    ],
    "statistics": [
        "A trial stopped early for benefit after three of five planned looks. Work out the bias of "
        "the estimate and a corrected interval under an O'Brien-Fleming boundary.",
        "Derive the asymptotic variance of the two-stage least squares estimator when instruments "
        "are weak, and say what breaks.",
        "An A/B test shows a 3% lift but the segments disagree. Diagnose whether this is Simpson's "
        "paradox, peeking or interference, and design the next experiment.",
        "Construct the EM updates for a mixture of Poisson regressions and prove monotonicity.",
    ],
    "argument": [
        "Compare Kant's and Mill's answers to the trolley case, find the strongest objection to "
        "each, and argue which reply succeeds.",
        "Five candidates must be seated on two committees: if P serves then Q does not, R and S "
        "serve together, and T serves only with P. Which pairs cannot both serve on the first "
        "committee? Justify by cases.",
        "Read the two rulings below as precedents and argue how a court should treat a case in "
        "which neither rule fits. Anticipate the dissent.",
        "Assess whether the evidence for dark matter rules out modified gravity, weighing lensing, "
        "rotation curves and the microwave background.",
    ],
    "planning": [
        "Plan the evacuation of a hospital of 400 beds in 12 hours with six ambulances, two wards "
        "on ventilators and one closed bridge. Optimise the order and show the bottleneck.",
        "You have 14 engineers, three dependent projects and a fixed launch date. Build a "
        "schedule, find the critical path and say what slips if two people leave in week four.",
        "Devise a fault-tolerant control strategy for a satellite that lost one of four reaction "
        "wheels, derive the reduced dynamics and prove attitude is still controllable.",
    ],
    "strategy": [
        "Work out a go-to-market plan for a diagnostics start-up that needs reimbursement in three "
        "countries, with the order of steps, risks and the decision points that would stop it.",
        "Evaluate whether the central bank should target nominal income instead of inflation, and "
        "answer the three strongest objections.",
        "Analyse the causes of the 1997 Asian crisis by competing theories and weigh the evidence "
        "for each.",
    ],
}
