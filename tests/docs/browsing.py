"""The faults that a browser finds in the pages of a site."""

# The faults of an opened page: pictures that are missing, formulas that are not rendered or contain an error,
# and a page that is wider than the screen.
FAULTS = """() => {
    const faults = [];
    for (const image of document.images)
        if (image.src && image.complete && !image.naturalWidth) faults.push("missing image " + image.src);
    for (const formula of document.querySelectorAll(".math"))
        if (!formula.querySelector("mjx-container"))
            faults.push("unrendered formula " + formula.textContent);
    for (const error of document.querySelectorAll("mjx-merror"))
        faults.push("wrong formula " + error.textContent);
    const excess = document.documentElement.scrollWidth - window.innerWidth;
    if (excess > 0) faults.push("wider than the screen by " + excess + " pixels");
    return faults;
}"""
SCREENS = {"desktop": (1280, "light"), "phone": (390, "dark")}


def faults_of(browser, site, screen):
    """The faults that a browser finds in the pages of a site: a list of texts."""
    width, theme = SCREENS[screen]
    faults = []
    with browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme) as context:
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("requestfailed", lambda request: faults.extend(failure_of(request)))
        for path in sorted(site.rglob("*.html")):
            if {"_static", "_modules"} & set(path.parts):  # files of the theme, and source code
                continue
            page.goto(path.as_uri(), wait_until="load")
            page.evaluate("window.MathJax && MathJax.startup && MathJax.startup.promise")
            page_faults = page.evaluate(FAULTS)
            faults += [f"{path.relative_to(site)}: {fault}" for fault in page_faults]
    return faults


def failure_of(request):
    """A request that failed, as a list; [] if it was cancelled because the next page was opened."""
    return (
        [] if request.failure == "net::ERR_ABORTED" else [f"failed to load {request.url}: {request.failure}"]
    )
