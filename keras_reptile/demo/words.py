"""The texts of the page in HTML. Python and JavaScript replace the names in braces."""

# A lower probability than this is called "not sure".
SURE = 0.6

TITLE = "Few-shot learning, as you draw"
WORDS = {
    "introduction": (
        "Draw each character once, or a few times. The network takes a few gradient steps on your "
        "drawings, from meta-learned and from random weights. Then draw one of the characters "
        "again."
    ),
    "by_itself": "The network is in this page and learns in your browser. Nothing is sent.",
    "examples": "Your characters",
    "query": "A new drawing",
    "steps": "Gradient steps",
    "upload": "Upload",
    "upload_row": "Upload a picture of {name}",
    "upload_query": "Upload a picture of one of the characters",
    "no_picture": "{file} is no picture that this browser can read. Upload a PNG or a JPEG.",
    "no_ink": "{file} shows no ink on paper: its greys differ too little.",
    "too_large": "{file} is larger than {megabytes} MB. Upload a smaller picture.",
    "row_full": "A character has at most {most} drawings. Delete one first.",
    "draw_more": "Draw at least two characters to begin.",
    "draw_query": "Draw one of the characters again.",
    "blank": "The canvas is blank. Draw a character on it.",
    "diverged": ("The network has diverged on these drawings. Take fewer gradient steps."),
    "no_script": "This page needs JavaScript.",
    "failed": "The page has failed: {reason}. Reload it.",
    "best": '<b data-answer="{name}">{name}</b>',
    "this_is": "This is {best}",
    "not_sure": "Not sure. Most probable: {best} ({percent})",
    "from_random": 'From random weights: <b class="fresh">{said}</b>',
    "not_sure_in_short": "not sure",
    "diverged_in_short": "diverged",
    "nothing_learned": "Nothing learned yet.",
    "learning": "Taking {steps} on {drawings}.",
    "learned": "Learned {characters} characters from {drawings}: {steps} in {milliseconds} ms.",
    "drawing": "drawing",
    "step": "gradient step",
    "thumbnail_title": "The drawing as the network sees it, {side} &times; {side} pixels",
}
HTML = {
    "heading": (
        '<div class="heading"><h1>{title}</h1><p>{introduction}</p><p class="model">{model}</p>'
        "</div>"
    ),
    "status": '<div class="status">{text}</div>',
    "verdict": '<div class="verdict">{text}</div>',
    "said": "<div>{said}<br><small>{from_random}</small></div>{thumbnail}",
    "thumbnail": '<img src="{url}" alt="{title}" title="{title}">',
    "bars": (
        '<div class="answer"><table><thead><tr><th class="character"></th>'
        '<th class="known" scope="col">Meta-learned weights</th>'
        '<th class="fresh" scope="col">Random weights</th></tr></thead>'
        "<tbody>{rows}</tbody></table></div>"
    ),
    "row": '<tr><th scope="row">{name}</th>{known}{fresh}</tr>',
    "cell": (
        '<td class="{kind}"><div class="cell"><div class="track"><div class="{best}bar" '
        'style="width: {width}%"></div></div>'
        '<div class="percent" data-{kind}="{name}">{percent}</div></div></td>'
    ),
}
