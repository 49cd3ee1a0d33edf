const cell = (text) => Object.assign(document.createElement("span"), { textContent: text });

fetch("/api/pokemon")
  .then((answer) => answer.json())
  .then(({ pokemon, visits }) => {
    const rows = pokemon.map(({ id, name, types }) => {
      const row = document.createElement("li");
      row.append(cell(`#${id}`), cell(name), cell(types.join(", ")));
      return row;
    });
    document.querySelector("#list").replaceChildren(...rows);
    document.querySelector("#visits").textContent = visits ? `Visit ${visits}` : "";
  });
