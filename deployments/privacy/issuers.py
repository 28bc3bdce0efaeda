"""Keys and tokens in the forms that their issuers document."""

import re

_FORMS = (
    ("sf-", r"sf-[0-9a-z]{12}-[\w-]{43}"),  # ours: deployments/settings/api_key.py
    ("sk-", r"sk-[\w-]{20,}+"),  # OpenAI, Anthropic and who speaks as they do
    ("_live_", r"[psr]k_live_[A-Za-z0-9]{16,}+"),
    ("_test_", r"[psr]k_test_[A-Za-z0-9]{16,}+"),
    ("whsec_", r"whsec_[A-Za-z0-9+/=]{24,}+"),
    ("gh", r"gh[pousr]_[A-Za-z0-9]{36,}+"),
    ("github_pat_", r"github_pat_\w{22,}+"),
    ("gl", r"gl(?:pat|rt|dt|ptt|ft|soat|cbt|imt|agent|oas|ffct)-[\w.-]{20,}+"),
    ("xox", r"xox[abeoprs][-.][\w.-]{10,}+"),
    ("xapp-", r"xapp-[\w-]{20,}+"),
    ("hooks.slack.com", r"hooks\.slack\.com/services/[\w/]{20,}+"),
    ("AKIA", r"AKIA[0-9A-Z]{16}(?![0-9A-Z])"),
    ("ASIA", r"ASIA[0-9A-Z]{16}(?![0-9A-Z])"),
    ("AIza", r"AIza[\w-]{35}"),
    ("ya29.", r"ya29\.[\w-]{20,}+"),
    ("GOCSPX-", r"GOCSPX-[\w-]{20,}+"),
    ("hf_", r"hf_[A-Za-z0-9]{30,}+"),
    ("gsk_", r"gsk_[A-Za-z0-9]{30,}+"),
    ("xai-", r"xai-[A-Za-z0-9]{30,}+"),
    ("pplx-", r"pplx-[A-Za-z0-9]{30,}+"),
    ("r8_", r"r8_[A-Za-z0-9]{30,}+"),
    ("nvapi-", r"nvapi-[\w-]{30,}+"),
    ("tgp_v1_", r"tgp_v1_[\w-]{30,}+"),
    ("lsv2_", r"lsv2_[a-z]{2}_[a-f0-9]{32}_[a-f0-9]{10}"),
    ("npm_", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-", r"pypi-[\w-]{50,}+"),
    ("dckr_", r"dckr_[po]at_[\w-]{20,}+"),
    ("SG.", r"SG\.[\w-]{16,}+\.[\w-]{16,}+"),
    ("shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}"),
    ("_v1_", r"do[opr]_v1_[a-f0-9]{64}"),
    ("dapi", r"dapi[a-f0-9]{32}(?:-\d)?"),
    ("lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}+"),
    ("ATATT3x", r"ATATT3x[\w=-]{40,}+"),
    ("ATCTT3x", r"ATCTT3x[\w=-]{40,}+"),
    ("sbp_", r"sbp_[a-f0-9]{40}"),
    ("ntn_", r"ntn_[A-Za-z0-9]{40,}+"),
    ("secret_", r"secret_[A-Za-z0-9]{43}(?![A-Za-z0-9])"),  # Notion's before `ntn_`
    ("glsa_", r"glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}"),
    ("glc_", r"glc_[A-Za-z0-9+/=]{40,}+"),
    ("hv", r"hv[sbr]\.[\w-]{24,}+"),
    (".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[\w=-]{60,}+"),
    ("pscale_", r"pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}+"),
    ("sq0", r"sq0(?:atp|csp|idp)-[\w-]{22,}+"),
    ("figd_", r"figd_[\w-]{40,}+"),
    ("NRAK-", r"NRAK-[A-Z0-9]{27}"),
    ("HRKU-", r"HRKU-[\w-]{36,}+"),
    ("AGE-SECRET-KEY-", r"AGE-SECRET-KEY-1[0-9A-Z]{40,}+"),
    # A JSON web token (RFC 7519); tried once a word, or `-eyJ-eyJ-` would take its square.
    ("eyJ", r"(?<![\w-])(?=[\w-]*?eyJ)[\w-]{11,}+\.eyJ[\w-]{8,}+\.[\w-]*+"),
)
# `xoxb-` and ten more.
MIN_TOKEN_CHARS = 15
# A word that must occur in the text for the form to be tried: a search for one takes microseconds.
ISSUED = tuple((word, re.compile(rf"(?<![A-Za-z0-9]){form}")) for word, form in _FORMS)
