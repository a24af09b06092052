const search = document.getElementById("search");

/* Swagger UI's own filter knows only the names of the groups. */
const wordsOf = ({ path, method, operation }) =>
  [method, path, operation.operationId, operation.summary, operation.description]
    .join(" ").toLowerCase();

const findOperations = (groups, phrase) => {
  const words = phrase.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = operation => {
    const text = wordsOf(operation.toJS());
    return words.every(word => text.includes(word));
  };
  return groups
    .map(group => group.update("operations", operations => operations.filter(matches)))
    .filter(group => group.get("operations").size);
};

const searching = () => ({
  fn: { opsFilter: findOperations },
  statePlugins: {
    layout: {
      wrapSelectors: {
        /* What was found must not hide in a closed group. */
        isShown: shown => (_, place, fallback) =>
          (search.value.trim() !== "" && place[0] === "operations-tag") || shown(place, fallback),
      },
    },
  },
});

const ui = SwaggerUIBundle({
  dom_id: "#page",
  url: "openapi.json",
  deepLinking: true,
  tryItOutEnabled: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  persistAuthorization: true,
  plugins: [searching],
});

search.addEventListener("input", () => ui.layoutActions.updateFilter(search.value.trim()));

/* Swagger UI reads the address only once, when the page is loaded. */
const openNamed = () => {
  const [, tag, name] = location.hash.split("/");
  if (!name || !ui.layoutActions) return;
  search.value = "";
  ui.layoutActions.updateFilter("");
  ui.layoutActions.show(["operations-tag", tag], true);
  ui.layoutActions.show(["operations", tag, name], true);
  setTimeout(() => document.getElementById(`operations-${tag}-${name}`)?.scrollIntoView());
};
window.addEventListener("hashchange", openNamed);
