// What pages do when scripts run: everything works without, only less smoothly.
(() => {
  "use strict";

  // A page that waits for a start: tell the story from the hub's event stream, then go to the server.
  const wait = document.querySelector("[data-progress]");
  if (wait) {
    const bar = wait.querySelector("progress");
    const now = wait.querySelector("[data-now]");
    const list = wait.querySelector("[data-story]");
    const reload = (after) => setTimeout(() => location.reload(), after);
    const stream = new EventSource(wait.dataset.progress);
    let told = [];
    stream.onopen = () => { told = []; };
    stream.onmessage = (message) => {
      const event = JSON.parse(message.data);
      if (event.ready) {
        stream.close();
        bar.value = 100;
        now.textContent = "Ready. Taking you there …";
        location.replace(wait.dataset.destination);
        return;
      }
      if (event.failed) {
        stream.close();
        reload(0);
        return;
      }
      if (typeof event.progress === "number") bar.value = event.progress;
      now.textContent = event.message.split("\n\n")[0];
      if (told.at(-1) !== event.message) told.push(event.message);
      list.replaceChildren(...told.map((text) => {
        const item = document.createElement("li");
        const [sentence, ...details] = text.split("\n\n");
        item.textContent = sentence;
        if (details.length) {
          const said = item.appendChild(document.createElement("pre"));
          said.className = "log";
          said.textContent = details.join("\n\n");
        }
        return item;
      }));
    };
    stream.onerror = () => {
      // The browser asks again by itself unless the hub refused: then the page knows better.
      if (stream.readyState === EventSource.CLOSED) reload(2000);
    };
    // Whoever cancels is led elsewhere by the answer; the news of it must not load this page again meanwhile.
    wait.addEventListener("submit", () => stream.close());
    const since = wait.querySelector("[data-since]");
    if (since) {
      const began = Date.now() - 1000 * Number(since.dataset.since);
      setInterval(() => {
        const seconds = Math.max(0, Math.round((Date.now() - began) / 1000));
        since.textContent = seconds < 90 ? `${seconds} s` : `${Math.round(seconds / 60)} min`;
      }, 1000);
    }
  }

  // What was said about the last step is not said again when the page is loaded anew.
  const here = new URL(location.href);
  if (here.searchParams.has("said")) {
    here.searchParams.delete("said");
    history.replaceState(null, "", here);
  }

  // A page that shows something on its way looks again, unless somebody is using it; it stays as it is, and so does the
  // focus, until there is something new to show.
  const changing = document.querySelector("[data-refresh]");
  if (changing) {
    // A redirect is not followed: what stands at its end, such as somebody's server, is not to learn the token.
    const asked = { redirect: "manual", headers: { "X-XSRFToken": document.querySelector("[name=_xsrf]")?.value || "" } };
    const look = async () => {
      const answer = await fetch(location.href, asked).catch(() => null);
      if (!answer || [502, 503, 504].includes(answer.status)) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (page.querySelector("[data-refresh]")?.textContent !== changing.textContent) location.reload();
    };
    setInterval(() => {
      const typing = document.activeElement && document.activeElement.matches("input, textarea, select");
      if (!document.hidden && !typing && !document.querySelector("details[open]")) look();
    }, 1000 * Number(changing.dataset.refresh));
  }

  // Points in time are told as people here tell them.
  for (const time of document.querySelectorAll("time[data-local]")) {
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }

  // A link that is followed by itself after a while.
  const follow = document.querySelector("[data-follow]");
  if (follow) setTimeout(() => follow.click(), 1000 * Number(follow.dataset.follow));

  // A secret that is shown once is easier to copy with a button.
  for (const field of document.querySelectorAll("[data-copy]")) {
    if (!navigator.clipboard) break;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    });
    field.insertAdjacentElement("afterend", button);
  }
  for (const field of document.querySelectorAll("[data-copy]")) field.addEventListener("focus", () => field.select());

  // What is hidden because something else is chosen is not sent, and its mistakes are nobody's concern.
  for (const form of document.querySelectorAll("form:has(.profiles, .choice)")) {
    const settle = () => {
      for (const part of form.querySelectorAll(".profile-options, .choice > .written")) {
        const seen = part.checkVisibility ? part.checkVisibility() : true;
        for (const field of part.querySelectorAll("input, select")) {
          if (field.closest(".profile-options, .written") === part) field.disabled = !seen;
        }
      }
    };
    form.addEventListener("change", settle);
    settle();
  }

  // Nothing is sent twice by a double click.
  for (const form of document.forms) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) event.preventDefault();
      form.dataset.sent = "1";
      setTimeout(() => { delete form.dataset.sent; }, 4000);
    });
  }
  window.addEventListener("pageshow", () => {
    for (const form of document.forms) delete form.dataset.sent;
  });

  // An open menu closes when one looks elsewhere.
  const menus = [...document.querySelectorAll("details.menu")];
  const close = (except) => {
    for (const menu of menus) if (menu !== except) menu.open = false;
  };
  document.addEventListener("click", (event) => close(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = menus.find((menu) => menu.open);
    close();
    if (open) open.querySelector("summary").focus();
  });
})();
