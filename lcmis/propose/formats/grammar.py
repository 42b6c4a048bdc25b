"""The words by which two things are told apart in a prompt: those that join, name and refuse."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ── what stands before a name ────────────────────────────────────────────────────────────────────

DETERMINERS = _words(
    "a an the this that these those some several many few both another each every all any such his "
    "her its their my your our one two three four five six seven eight nine ten eleven twelve "
    "dozen twenty thirty hundred hundreds thousand thousands dozens"
)
NUMBERS = _words(
    "two three four five six seven eight nine ten eleven twelve dozen twenty thirty both"
)
DEFINITE = _words("the his her its their my your our")
ONE = _words("a an one each every another this")
"""Determiners after which the thing stands alone: what then ends in ``s`` is a verb."""
MEDIA = _words(
    "photo photograph picture image painting drawing sketch illustration render rendering closeup "
    "close-up portrait view shot snapshot screenshot scene depiction cartoon watercolor "
    "watercolour photos pictures images"
)
"""Nouns that say only that a picture is asked for."""
ORDERS = _words(
    "draw paint generate create make show render imagine design illustrate sketch depict visualize "
    "visualise give"
)
"""Verbs that begin a prompt and say only that a picture is asked for."""
QUANTITIES = _words("lot lots couple plenty variety number set")
"""Nouns that with ``of`` say how many: ``a lot of apples``."""
MEASURES = _words(
    "pair piece group bunch slice ball roll strip block sheet string wad bar stick lump spool coil "
    "bundle heap mound handful cluster head ear clove wheel blade lock cube patch row pile stack "
    "herd flock loaf bowlful collection bouquet model map replica"
)
"""Nouns of which ``of`` makes a part of a name: a pair of shoes is one thing."""
KINDS = _words("kind type sort kinds types sorts")
"""Nouns of which ``of`` makes less than a name: what kind of bird, nobody can see."""

# ── what joins two names ─────────────────────────────────────────────────────────────────────────

JOINING = _words(
    "and & with of in on at under over above below beneath behind beside near by inside into onto "
    "upon against between around along among amid amidst amongst atop underneath alongside towards "
    "toward from through across within outside to holding wearing next left right top bottom front "
    "side back close adjacent is are was were"
)
"""Words that stand between two things; several in a row are one joint: ``on the left of``."""
OPEN = _words("next left right top bottom front side back close adjacent")
"""Joining words that are also names and adjectives: alone they join nothing."""
PLACES = _words("middle center centre edge corner end foot")
"""Nouns that belong to a joint between ``the`` and ``of``."""
COPULAS = _words("is are was were")
CONTAINERS = tuple(
    _words(
        "cup mug glass bowl pot vase bottle jar jug pitcher bucket basket box bag plate tray "
        "barrel can tin tub pan saucepan kettle carafe decanter goblet tumbler chalice flask flute "
        "thermos crate sack dish bin cart wheelbarrow trough tank tankard stein spoon ladle "
        "thimble pail urn cauldron wok casserole beaker vial tube carton packet bathtub sink "
        "fountain pool field garden meadow"
    )
)
"""What holds something else: with ``of`` it makes two things."""
SHOWING = _words("shows showing depicting depicts form forms")
"""What a picture does with what is in it."""
FULL_OF = _words("full filled made")
"""What stands before ``of`` and makes two things of it."""
PARTICIPLES = _words(
    "hidden covered filled made surrounded topped placed seated parked lit built stuck cut torn "
    "worn broken frozen fallen eaten taken seen shown drawn grown thrown written woven stolen sewn "
    "sunk strung bound held kept laid lost sold split spread swept tied buried rolled dipped clad "
    "ridden driven given bitten forgotten beaten chosen strewn"
)
"""Words like verbs, whatever stands before them, if a preposition or a determiner follows."""
AFTER_NOUNS = _words(
    "overhead underfoot half tall still unmade onstage offstage outdoors indoors asleep awake "
    "alone afloat upright full empty open closed shut ready bent upside down away far high low "
    "together apart here there up off aloft ablaze alive sideways forward backward ahead "
    "back-to-back side-by-side"
)
"""Adjectives and adverbs: after a noun they say how it is, and are no part of its name."""

# ── what is no name ──────────────────────────────────────────────────────────────────────────────

NEGATIONS = _words(
    "no not without never none neither nor except missing nothing nowhere isn't don't"
)
SENTENCES = _words(
    "be been being has have had do does did will would could should may might must that which who "
    "whom whose where while when whenever because so as than or but if then either there it he she "
    "they them him me us i you we what how why like for about during after before since until "
    "despite per via unlike plus minus versus vs also just only too please want wants need needs "
    "let lets say says saying said called named titled used out trying going something anything "
    "everything somebody anybody everybody nobody someone anyone everyone itself himself herself "
    "themselves other others mine yours hers theirs most off-screen it's there's he's she's let's "
    "someone's somebody's everyone's nobody's"
)
"""Words of a sentence that says more, or other, than which two things are together."""
FOREIGN = _words(
    "un une ein eine einen einem einer der das und le les des du et avec dans el los las uno una "
    "il gli di een het och med på um uma com mit auf"
)
"""Articles and joints of other languages, of which these rules know nothing."""
ADJECTIVES = _words(
    "red orange yellow green blue purple pink brown black white gray grey golden silver gold big "
    "small large little tall short round square long old young new left right top bottom front "
    "back very quite rather extremely slightly really most more less first last rich poor same "
    "different various happy sad angry tired hungry sleepy lazy excited wooden woollen woolen wet "
    "dry cold hot warm cool dirty clean rusty shiny rainy sunny cloudy foggy snowy windy stormy "
    "fluffy furry hairy flat deep thick thin heavy bright dark soft hard rough smooth broken cute "
    "pretty beautiful ugly nice good bad great huge tiny massive enormous gigantic ancient modern "
    "vintage rustic elegant colorful colourful transparent translucent striped dotted spotted "
    "checkered crowded abandoned busy quiet loud wild calm frozen burnt alone asleep awake empty "
    "open closed sparkling glowing metallic fresh ripe raw fat slim strong weak wide narrow sharp "
    "blunt loose tight lonely friendly scary funny strange weird giant"
)
"""No thing by themselves."""
MATERIALS = _words(
    "leather fabric metal plastic rubber glass wood paper cotton silk wool denim stone velvet "
    "brass copper steel iron ceramic porcelain marble straw fur lace satin suede crystal clay"
)
"""Nouns that stand before another like adjectives."""
ENDS_OF_ADJECTIVES = ("ous", "less")
NO_THINGS = _words(
    "background foreground distance middle center centre view night dusk dawn midnight noon day "
    "winter summer autumn morning evening afternoon motion action flight profile love work play "
    "style fashion manner mode detail conversation vacation holiday sale display duty dark "
    "darkness silence mood atmosphere concept idea sense time year years century era season moment "
    "way colour color size shape danger trouble progress bloom use charge pieces public general "
    "unison formation midair mid-air viewer viewers position speech trip search intelligence rest "
    "mind thought pain peace war colors colours half mine paradise heaven hell word words letters "
    "text"
)
"""What no picture could miss or show as a thing of its own."""
MASSES = _words(
    "snow sand water mud grass fog rain ice dirt smoke mist hay straw clay milk honey coffee tea "
    "juice oil wine beer syrup chocolate sauce soup jelly butter cream blood paint ink foam lava "
    "dust ash gravel soil moss ivy seaweed sunlight moonlight shade traffic armor armour uniform "
    "toast rice bread pasta meat cheese paper cardboard wood metal glass stone concrete asphalt "
    "pavement carpet linen silk leather fur velvet satin denim cotton wool plastic foil rubble "
    "debris garbage trash money cash jewelry jewellery makeup furniture luggage foliage "
    "scaffolding wreckage sky outer-space mid-ocean quicksand slime ketchup mustard sugar salt "
    "flour dough fruit corn wheat marble cobblestone pyjamas"
)
"""What needs no article to be a thing: in mud, on toast."""

# ── verbs ────────────────────────────────────────────────────────────────────────────────────────

_REGULAR = _words(
    "rest lean perch float drift sail soar hover glide walk jump leap climb crawl march race jog "
    "dance play graze bloom burn gleam sparkle flow land wait look stare gaze smile laugh bark "
    "howl roar work roll wander roam emerge appear gather relax lounge bask bathe surf skate "
    "paddle row hunt kick pull push pour drip chase watch follow touch hug kiss cook paint carry "
    "cross pass reach approach enter face point bounce crash dive park stop turn wave whisper yell "
    "cuddle snuggle perform pose study talk chat argue wrestle stretch stroll balance dangle tower "
    "loom nestle sprout bubble simmer boil bake fry melt peer peek camp travel stack scatter drop "
    "cover surround top decorate tick toast open close lick sniff chew nibble"
)
_IRREGULAR = {
    **{"sit": "sat", "stand": "stood", "lie": "lay", "sleep": "slept", "kneel": "knelt"},
    **{"hang": "hung", "swim": "swam", "fly": "flew", "run": "ran", "ride": "rode"},
    **{"drive": "drove", "sing": "sang", "grow": "grew", "shine": "shone", "fall": "fell"},
    **{"rise": "rose", "read": "read", "swing": "swung", "spin": "spun", "slide": "slid"},
    **{"hide": "hid", "eat": "ate", "drink": "drank", "feed": "fed", "fight": "fought"},
    **{"hold": "held", "wear": "wore", "catch": "caught", "throw": "threw", "hit": "hit"},
    **{"blow": "blew", "draw": "drew", "bring": "brought", "take": "took", "make": "made"},
    **{"give": "gave", "get": "got", "come": "came", "go": "went", "see": "saw", "say": "said"},
    **{"keep": "kept", "leave": "left", "meet": "met", "build": "built", "bite": "bit"},
    **{"sink": "sank", "ring": "rang", "speak": "spoke", "write": "wrote", "sell": "sold"},
    **{"buy": "bought", "creep": "crept", "sweep": "swept", "lead": "led", "dig": "dug"},
    **{"light": "lit", "shake": "shook", "wake": "woke", "break": "broke", "hop": "hopped"},
}


def _third(verb: str) -> str:
    if verb.endswith(("ch", "sh", "ss", "x", "z", "o")):
        return verb + "es"
    return re.sub(r"(?<=[^aeiou])y$", "ie", verb) + "s"


BASES = frozenset({*_REGULAR, *_IRREGULAR, "set", "cry", "ski", "meow", "swirl", "cut", "put"})
THIRDS = frozenset(map(_third, BASES))
"""What one does: after ``a`` and a noun surely a verb, after ``the`` perhaps a plural."""
SURELY_THIRDS = _words(
    "sits rises sleeps lies kneels swims sings eats wears holds brings catches throws gives gets "
    "comes goes sees keeps grows flows hides shines stares gazes soars hovers glides wanders roams "
    "emerges appears gathers relaxes bathes chases follows carries reaches enters surrounds writes"
)
"""Of these, those that are hardly ever nouns of things."""
PASTS = frozenset(_IRREGULAR.values()) - _words("made left read lit saw rose hit")
NO_PASTS = _words(
    "bed seed weed reed sled shed bobsled thoroughbred steed feed speed moped watershed flowerbed "
    "seabed hotbed sunbed bred creed breed hundred red"
)
"""Nouns that end like a past."""
SHAPED = _words(
    "shaped dried colored coloured sized themed flavored flavoured covered encrusted studded "
    "patterned inspired printed powered lined trimmed rimmed sleeved legged headed tailed"
)
"""Pasts that make an adjective of the noun before them: a heart shaped box."""
NO_VERBS = _words(
    "building painting clothing ceiling wing ring king string pudding earring thing spring railing "
    "awning dressing lightning morning evening sibling duckling drawing carving icing stuffing "
    "swing wedding sling bedding viking sterling crossing offspring darling dumpling gosling "
    "herring starling seedling sapling lemming engraving etching topping frosting casing briefing "
    "bearing flooring tubing piping seating shelving scaffolding"
)
"""Nouns that end like a participle."""
COMPOUNDS = frozenset(
    {
        *("frying pan", "rocking chair", "rocking horse", "swimming pool", "running shoe"),
        *("fishing rod", "fishing boat", "fishing net", "fishing pole", "washing machine"),
        *("sewing machine", "dining table", "dining chair", "dining room", "living room"),
        *("sleeping bag", "vending machine", "rolling pin", "cutting board", "mixing bowl"),
        *("boxing glove", "boxing ring", "shopping cart", "shopping bag", "parking meter"),
        *("parking lot", "walking stick", "hiking boot", "ironing board", "diving board"),
        *("knitting needle", "measuring cup", "measuring tape", "steering wheel"),
        *("spinning wheel", "spinning top", "baking tray", "baking sheet", "serving tray"),
        *("playing card", "flying saucer", "folding chair", "racing car", "sailing boat"),
        *("watering can", "drinking fountain", "serving bowl", "serving dish", "mixing board"),
        *("sailing ship", "writing desk", "reading lamp", "skipping rope", "punching bag"),
    }
)
"""Names that begin like what somebody does."""
PLURALS = _words("people men women children mice geese feet teeth oxen firemen policemen cattle")
ENDS_OF_PLURALS = tuple(_words("men people children mice geese feet teeth i fish sheep"))
ALSO_PLURALS = _words("sheep fish deer moose swine bison shrimp aircraft police")
"""The same for one and for many: with a verb after it, many."""
SINGULARS = _words(
    "sports glasses goods arms jeans species series news sales games physics savings scissors "
    "headphones sunglasses pants trousers shorts binoculars goggles tweezers pliers lens gas "
    "canvas atlas christmas texas alias thermos bias pyjamas pajamas overalls tights leggings "
    "mercedes"
)
"""Words with an ``s`` at their end that may stand before a noun or after ``a``."""
NO_ADVERBS = _words(
    "jelly butterfly fly lily family belly bully doily holly dragonfly firefly teddy ally assembly "
    "anomaly monopoly trolley dolly gully bodily curly ugly friendly lonely silly woolly wooly "
    "oily bubbly hilly barfly housefly mayfly potbelly italy july"
)
"""Nouns and adjectives that end like an adverb."""
