# ruff: noqa: RUF001  # words of other scripts look like Latin ones
"""The closed word lists that ``following`` reads a turn by, lower case, English first."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


#: Greetings, thanks, farewells.
COURTESY = _set(
    "hi hello hey morning afternoon evening thanks thank thx ty cheers bye goodbye appreciated "
    "hallo danke dank tschüss bonjour merci revoir hola gracias adiós ciao grazie arrivederci olá "
    "obrigado obrigada tchau bedankt tack hvala dziękuję dzięki teşekkürler привет спасибо пока "
    "你好 谢谢 再见 こんにちは ありがとう ありがとうございます 감사합니다 شكرا धन्यवाद"
)
#: What those are wrapped in.
BESIDE_COURTESY = _set(
    "a all are how for there everyone helped help is it lot many much no nothing of that that's "
    "the this so very you your great perfect good nice ok okay awesome again works worked now and "
    "else needed i was everything day have one see talk soon later viel vielen sehr das war alles "
    "schön auf wiedersehen beaucoup c'est tout au muchas eso es todo mille è tutto muito é tudo"
)
#: Assent and praise before an instruction, or instead of it.
ASSENT = _set(
    "ok okay k yes yep yeah yup sure right correct agreed exactly great perfect good nice fine "
    "cool awesome excellent well lgtm approved please no nope hmm oh so alright looks sounds "
    "seems ja jawohl gut super genau passt klar nein bitte oui non d'accord parfait bien vale sí "
    "si claro perfecto va bene certo perfetto sim não goed prima tak nie dobrze jo nej bra evet "
    "hayır tamam да нет хорошо ладно 好 好的 是 是的 对 可以 はい いいえ 네 예 좋아 نعم हाँ ठीक"
)
#: Openings that add to what was there.
JOINS = _set(
    "and but also now then or plus next additionally continue proceed resume retry redo undo "
    "again same instead otherwise why go keep carry more another commit ship merge revert finish "
    "und aber auch jetzt dann oder weiter mach nochmal warum wieso et mais aussi maintenant puis "
    "ou continuez encore pourquoi vas y pero también ahora luego sigue continúa otra e ma anche "
    "adesso ora poi continua ancora perché mas também agora depois segue prossiga en maar ook nu "
    "dan ga doorgaan waarom dalej kontynuuj teraz dlaczego fortsätt och devam şimdi ve neden и а "
    "но теперь дальше продолжай продолжи ещё почему 继续 接着 然后 那 再 为什么 続けて 次 "
    "それで もっと 계속 계속해 그리고 왜 استمر تابع واصل जारी और अब"
)
#: Words that stand for something said before, wherever they are.
BACK = _set(
    "it it's its that that's this these those they them their one ones same above previous "
    "earlier former latter again instead too also else further rest both either neither so dies "
    "diese das dasselbe stattdessen ça cela celui ceci eso esto lo aquello questo quello isso "
    "isto aquilo dit это этот 这 这个 那个 它 これ それ その 그것 이것"
)
#: Those of them that a longer turn rarely uses otherwise: "that" and "this" begin clauses.
ADDS = _set("it its them same above previous earlier also again instead too")
#: Things that only what was said before can have: "the second one", "step 3", "your answer".
PARTS = _set(
    "answer result step steps part proof solution version option example first second third last "
    "other two line case reason shorter longer simpler faster cleaner better clearer detail "
    "details change changes fix error bug tests test code function"
)
#: Words that say nothing of their own.
GRAMMAR = _set(
    "a an the of to in on for with by from at as is are was were be do does did can could would "
    "should will what who whom whose when where which how why i you we he she me my your our us "
    "if then not don't just only out up down about into please make give get let try use say show "
    "explain go und der die et le la les de el los y il o os per por mit sans con"
)
#: How questions begin.
ASKING = _set(
    "what what's whats who who's whom whose when where which how why is are was were do does did "
    "can could will would should has have wer wann wo wie welche welcher welches wieviel ist sind "
    "kann quel quelle quels quelles qui que quoi où quand comment combien est qué cuál quién "
    "cuándo dónde cómo cuánto cuántos es che cosa chi quale quando dove come quanto quanti è qual "
    "quais quem onde quantos wat wanneer waar hoe welke что кто когда где как какая какой какие "
    "сколько"
)
#: Those of them that ask after a reason or an origin: of figures, only one that was given before.
WHENCE = _set("why where wo où dónde dove onde waar где")
#: How tasks begin.
TASKS = _set(
    "prove derive compute calculate solve design implement summarize summarise translate define "
    "convert tell set remind play draft compose list name classify extract find plan analyse "
    "analyze compare evaluate write create build schreibe übersetze nenne beweise écris traduis "
    "escribe traduce scrivi traduci"
)
#: None of these is a word of the turn's own.
EMPTY = GRAMMAR | BACK | JOINS | PARTS | ASSENT
#: An answer, its parts and merits, and what one has done to it: "Can you verify?", "Any mistakes?".
ANSWERS = _set(
    "answer answers solution step steps proof option reason detail details error longer shorter "
    "simpler better solutions proofs results reply response output draft argument arguments "
    "reasoning rationale logic derivation explanation conclusion conclusions findings outline "
    "overview summary work options choice approach approaches method alternative alternatives "
    "example counterexample counterexamples evidence sources references intuition idea takeaways "
    "assumption assumptions assume assumed premises edge corner cases exceptions mistake mistakes "
    "errors bugs issue issues problem problems flaw flaws gap gaps weakness weaknesses pitfalls "
    "caveat caveats limitation limitations downsides drawbacks advantages disadvantages pros cons "
    "risk risks trade tradeoff tradeoffs certain sure confident convinced right correct accurate "
    "wrong incorrect valid sound complete incomplete rigorous missing miss missed forget forgot "
    "overlook overlooked consider considered think suggest recommend prefer best worst "
    "likely important necessary readability readable clear clearer clearly precise specific "
    "concise brief briefly simple simply deeper depth thorough thoroughly careful carefully "
    "detailed differently check checked recheck verify verified validate confirm elaborate "
    "clarify explain justify simplify shorten lengthen expand generalise generalize finish "
    "rephrase reword reformulate restate rewrite revise review refine improve polish summarise "
    "summarize recap reconsider rethink "
    "antwort lösung beweis ergebnis schritt schritte begründung annahmen alternativen risiken "
    "nachteile vorteile beispiel fehler sicher richtig falsch korrekt vollständig stimmt prüfen "
    "überprüfen nachprüfen nachrechnen bestätigen erklären erläutern begründen kürzen "
    "vereinfachen zusammenfassen verbessern korrigieren fortfahren weitermachen fortsetzen "
    "genauer ausführlicher einfacher kürzer "
    "réponse solution preuve étapes hypothèses risques exemple erreur erreurs sûr sûre certain "
    "certaine correct juste complet vérifier confirmer détailler développer expliquer préciser "
    "simplifier raccourcir résumer corriger continuer poursuivre reformuler améliorer "
    "respuesta solución prueba pasos riesgos ejemplo errores error seguro segura correcto "
    "completo verificar comprobar revisar confirmar explicar detallar aclarar simplificar "
    "resumir acortar corregir continuar seguir mejorar reformular "
    "risposta soluzione prova passi rischi esempio errori sicuro sicura corretto giusto "
    "verificare controllare confermare spiegare chiarire semplificare riassumere correggere "
    "continuare proseguire migliorare "
    "resposta solução passos riscos exemplo erros certeza correto conferir confirme explique "
    "resumir corrigir melhorar "
    "antwoord oplossing fouten zeker juist controleren uitleggen samenvatten doorgaan "
    "уверен уверена проверить проверь объяснить подробнее ошибки правильно верно"
)
#: What such a turn holds besides: amounts, "you", and the auxiliaries of other languages.
BESIDE_ANSWERS = _set(
    "any all every each some more most less few bit little lot much many really truly very quite "
    "enough everything anything something still once twice time maybe perhaps actually back over "
    "there here full fully whole entire own possible behind yourself see look find found been "
    "being has have had having must need want would provide add include double go going off offs "
    "kannst könntest würdest bist hast gibt ist sind alles etwas mehr sehr ganz du dir mir uns "
    "ein eine einen den dem dein deine deiner noch mal "
    "peux pourrais pouvez pourriez es êtes y a t tu vous tout plus mieux un une des ta ton votre "
    "puedes podrías puede estás está hay tú todo más mejor un una tu "
    "puoi potresti sei ci sono tutto più meglio tuo tua pode poderia você tem há mais melhor "
    "tudo sua kun kunt je u ben bent zijn er alles meer ты вы можешь можете всё есть ли"
)
