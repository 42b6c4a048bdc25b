"use strict";
// All pictures, sixty at a time; every text is set as text.
const PAGE = 60, form = document.querySelector("#grid-filter"), grid = document.querySelector("#grid");
const { prompts, pages, models, pictures } = window.SITE;
const texts = pictures.map(([, pair, model, seed, , caption, key, noted]) => `${prompts[pair]} ${models[model]} ${seed} ${caption} ${key} ${noted}`.toLowerCase());
let start = 0, found = [];
const make = (tag, text = "") => { const one = document.createElement(tag); one.textContent = text; return one; };
const figure = ([file, pair, model, seed, right, caption, key, noted]) => {
  const one = make("figure");
  one.className = ["wrong", "right", "open"][right];
  Object.assign(one.dataset, { model: models[model], seed, pair });
  if (file) {
    const link = make("a"), image = make("img");
    link.className = "zoom";
    link.href = image.src = file;
    image.loading = "lazy";
    image.alt = `${models[model]}, seed ${seed}: ${caption}`;
    link.append(image);
    one.append(link);
  } else { const none = make("p", caption); none.className = "none"; one.append(none); }
  const below = make("figcaption"), to = make("a", prompts[pair]);
  to.href = pages[pair];
  below.append(to, make("small", `${"✗✓·"[right]} ${caption} · ${models[model]}, seed ${seed}, ${key}`));
  if (noted) { const said = make("span", noted); said.className = "noted"; below.append(said); }
  one.append(below);
  return one;
};
const show = () => {
  grid.style.setProperty("--side", `${form.elements.size.value}px`);
  grid.replaceChildren(...found.slice(start, start + PAGE).map((place) => figure(pictures[place])));
  const last = Math.min(start + PAGE, found.length);
  form.querySelector("output").textContent = found.length ? `${start + 1}–${last} of ${found.length}` : "none";
};
const search = () => {
  const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const model = form.elements.model.value, right = form.elements.right.value;
  found = [];
  for (let place = 0; place < pictures.length; place++) {
    const one = pictures[place];
    if ((!model || models[one[2]] === model) && (!right || String(one[4]) === right) && words.every((word) => texts[place].includes(word))) found.push(place);
  }
  start = 0;
  show();
};
form.addEventListener("input", (event) => (event.target.name === "size" ? show() : search()));
form.addEventListener("submit", (event) => event.preventDefault());
for (const button of document.querySelectorAll("#turn button"))
  button.addEventListener("click", () => {
    const next = start + PAGE * Number(button.dataset.step);
    if (next >= 0 && next < found.length) { start = next; show(); scrollTo(0, 0); }
  });
search();
