// The sandbox's chat widget. It speaks the same queue protocol as the real one.
//
// Under a Content-Security-Policy it needs two things: `script-src` that allows this file (by host
// or nonce), and `connect-src` that allows its origin, for the POST that verifies the visitor.
// It uses no inline style, no inline handler and no markup strings, so nothing else.
(() => {
  "use strict";

  // Set while a classic script runs, with `async` and `defer` too.
  const { origin, pathname } = new URL(document.currentScript.src);
  const slug = pathname.match(/\/([\w-]+)\.js$/)[1];
  const endpoint = `${origin}/api/v1/widget/${slug}/identify`;

  const CSS = `
    :host {
      all: initial; position: fixed; right: 20px; bottom: 20px; z-index: 2147483000;
      font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1c2333;
    }
    @media print { :host { display: none } }
    * { box-sizing: border-box; margin: 0; padding: 0 }
    [hidden] { display: none !important }
    .card {
      position: absolute; right: 0; bottom: 72px; width: min(340px, calc(100vw - 40px));
      max-height: calc(100vh - 120px); overflow: auto;
      background: #fff; border: 1px solid #e4e7ef; border-radius: 16px;
      box-shadow: 0 16px 40px -12px rgb(23 30 60 / .28);
    }
    header { padding: 16px 18px 14px; border-bottom: 1px solid #eef0f5 }
    header p { color: #667085; font-size: 13px }
    h2 { font-size: 15px; font-weight: 650; letter-spacing: -.01em }
    .body { padding: 14px 18px 16px }
    .status {
      display: flex; align-items: center; gap: 8px; padding: 8px 12px; border-radius: 10px;
      font-size: 13px; font-weight: 550; overflow-wrap: anywhere; background: #f3f4f7; color: #525b6e;
    }
    .status::before {
      content: ""; flex: none; width: 8px; height: 8px; border-radius: 50%; background: #98a1b3;
    }
    :host([data-tier="verified"]) .status { background: #e9f8f0; color: #0b6b42 }
    :host([data-tier="verified"]) .status::before { background: #12a566 }
    :host([data-tier="pending"]) .status { opacity: .6 }
    h3 { margin: 16px 0 2px; font-size: 12px; font-weight: 600; color: #667085 }
    ul { list-style: none }
    li {
      display: grid; grid-template-columns: 1fr auto; column-gap: 12px;
      padding: 9px 0; border-bottom: 1px solid #eef0f5;
    }
    li:last-child { border: 0; padding-bottom: 0 }
    .title { font-weight: 500 }
    .total { text-align: right; font-variant-numeric: tabular-nums }
    .id, .state { font-size: 12px; color: #667085 }
    .state { text-align: right }
    button {
      display: grid; place-items: center; width: 56px; height: 56px; margin-left: auto;
      border: 0; border-radius: 50%; color: #fff; background: #3f51d9; cursor: pointer;
      box-shadow: 0 8px 20px -6px rgb(63 81 217 / .6); transition: background .15s;
    }
    button:hover { background: #3342bd }
    button:focus-visible { outline: 3px solid #aab4f5; outline-offset: 2px }
    svg { width: 30px; height: 30px; fill: currentColor }
  `;
  const BUBBLE =
    "M12 3C6.8 3 2.6 6.6 2.6 11c0 2.3 1.1 4.3 2.9 5.8-.1 1.2-.6 2.4-1.5 3.4 1.9-.1 3.6-.7 5-1.6" +
    ".9.3 2 .4 3 .4 5.2 0 9.4-3.6 9.4-8S17.2 3 12 3Z";

  const element = (name, className, ...children) => {
    const node = document.createElement(name);
    if (className) node.className = className;
    node.append(...children);
    return node;
  };

  const icon = () => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const path = document.createElementNS(svg.namespaceURI, "path");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", BUBBLE);
    svg.append(path);
    return svg;
  };

  // The bubble: `host` is the element in the page, `show` what it says about the visitor.
  const createBubble = () => {
    const host = element("ensoras-chat");
    const status = element("p", "status");
    const heading = element("h3", "", "Your orders");
    const list = element("ul", "orders");
    const card = element(
      "section",
      "card",
      element("header", "", element("h2", "", "Chat with us"), element("p", "", "How can we help?")),
      element("div", "body", status, heading, list),
    );
    const button = element("button", "", icon());
    status.setAttribute("role", "status");
    button.setAttribute("aria-label", "Chat");
    button.setAttribute("aria-expanded", "true");
    button.addEventListener("click", () => {
      card.hidden = !card.hidden;
      button.setAttribute("aria-expanded", String(!card.hidden));
    });

    const sheet = new CSSStyleSheet(); // constructed: a policy without style-src leave applies it
    sheet.replaceSync(CSS);
    const root = host.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [sheet];
    root.append(card, button);

    const row = ({ id, title, total, state }) =>
      element(
        "li",
        "",
        element("span", "title", title),
        element("span", "total", total),
        element("span", "id", id),
        element("span", "state", state),
      );
    const show = (tier, text, orders = []) => {
      host.dataset.tier = tier;
      status.textContent = text;
      list.replaceChildren(...orders.map(row));
      heading.hidden = orders.length === 0;
    };
    return { host, show };
  };

  const askForTier = async (email, hash) => {
    try {
      const response = await fetch(endpoint, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ email, hash }),
        credentials: "omit",
      });
      return await response.json();
    } catch {
      // Offline, a refusal, or the page's connect-src: the visitor can chat all the same.
      return { tier: "unverified" };
    }
  };

  const start = () => {
    const present = document.querySelector("ensoras-chat");
    if (present?.shadowRoot) return; // the page has the widget tag twice
    present?.remove(); // a dead copy out of a page cache such as Turbo's

    const { host, show } = createBubble();
    let latest = 0;
    const identify = async (details) => {
      const call = ++latest;
      show("pending", "Verifying…");
      const answer = await askForTier(details?.email, details?.hash);
      if (call !== latest) return; // a later call has overtaken this one
      if (answer.tier === "verified") {
        show("verified", `Verified: ${answer.email}`, answer.orders);
      } else {
        show("unverified", "Unverified");
      }
    };
    const handle = (call) => {
      if (call?.[0] === "identify") identify(call[1]);
    };

    // Markup can clobber the queue: after `<a id=EnsorasQueue>` the global is an element.
    const queue = Array.isArray(window.EnsorasQueue) ? window.EnsorasQueue : [];
    const queued = queue.splice(0);
    queue.push = (...calls) => {
      if (host.isConnected) calls.forEach(handle);
      else Array.prototype.push.apply(queue, calls); // kept for the next page's widget (Turbo)
      return queue.length;
    };
    window.EnsorasQueue = queue;
    window.Ensoras = function () {
      window.EnsorasQueue.push(arguments);
    };

    show("unverified", "Unverified");
    document.body.append(host);
    queued.forEach(handle);
  };

  // An async script can run before the parser has seen the body.
  if (document.body) start();
  else document.addEventListener("DOMContentLoaded", start);
})();
