// What anybody should be able to rely on, whatever the page: returns what is wrong, in words.
() => {
  const wrong = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const named = (element) => element.outerHTML.slice(0, 120);

  if (!document.documentElement.lang) wrong.push("the page does not say its language");
  if (!document.title.trim()) wrong.push("the page has no title");
  const headings = [...document.querySelectorAll("h1")].filter(shown);
  if (headings.length !== 1) wrong.push(`${headings.length} first headings instead of one`);
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  for (const id of new Set(ids.filter((id, place) => ids.indexOf(id) !== place))) wrong.push(`the id ${id} twice`);
  for (const image of document.images) if (!image.hasAttribute("alt")) wrong.push(`no alt: ${named(image)}`);

  const said = (element) => {
    const ids = (element.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    const others = ids.map((id) => document.getElementById(id)?.textContent || "").join("");
    const labels = [...(element.labels || [])].map((label) => label.textContent).join("");
    return (element.getAttribute("aria-label") || others || labels).trim();
  };
  for (const field of document.querySelectorAll("input:not([type=hidden]), select, textarea, progress")) {
    if (!said(field)) wrong.push(`no label: ${named(field)}`);
  }
  for (const thing of document.querySelectorAll("a[href], button, summary")) {
    const images = [...thing.querySelectorAll("img")].map((image) => image.alt).join("");
    if (!(said(thing) || thing.textContent.trim() || images)) wrong.push(`no name: ${named(thing)}`);
  }
  for (const field of document.querySelectorAll("[aria-describedby]")) {
    for (const id of field.getAttribute("aria-describedby").split(/\s+/)) {
      if (!document.getElementById(id)) wrong.push(`described by nothing: ${named(field)}`);
    }
  }

  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) {
    const wide = [...document.querySelectorAll("body *")]
      .filter((element) => shown(element) && element.getBoundingClientRect().right > page.clientWidth + 1)
      .map(named);
    wrong.push(`${page.scrollWidth - page.clientWidth} pixels too wide at ${page.clientWidth}: ${wide.slice(-1)}`);
  }

  for (const thing of document.querySelectorAll("a, button, summary, input, p, h1, h2, label")) {
    if (!shown(thing) || thing.closest(".hidden, .skip")) continue;
    if (thing.getBoundingClientRect().left < -1) wrong.push(`cut off on the left: ${named(thing)}`);
  }

  // Contrast of text with what is behind it, as WCAG 2 counts: at least 4.5, or 3 for large text.
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const colour = (text) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = colour(getComputedStyle(at).backgroundColor);
      if (found[3] > 250) return found;
    }
    return [255, 255, 255, 255];
  };
  const light = ([red, green, blue]) => {
    const [r, g, b] = [red, green, blue].map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || !shown(element) || element.closest("[aria-hidden=true], .hidden, script")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(colour(style.color)), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    const size = parseFloat(style.fontSize);
    const enough = size >= 24 || (size >= 18.6 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    if (contrast < enough) wrong.push(`contrast ${contrast.toFixed(2)}: ${node.textContent.trim().slice(0, 40)}`);
  }
  return wrong;
}
