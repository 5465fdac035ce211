(function () {
  var bar = document.querySelector(".filters"), none = document.querySelector(".none");
  var questions = document.querySelectorAll(".q"), buttons = bar.querySelectorAll("button");
  function show(kind) {
    var seen = 0;
    questions.forEach(function (q) {
      q.hidden = kind !== "all" && q.dataset.is.split(" ").indexOf(kind) < 0;
      if (!q.hidden) seen += 1;
    });
    buttons.forEach(function (b) { b.setAttribute("aria-pressed", String(b.dataset.show === kind)); });
    none.hidden = seen > 0;
  }
  buttons.forEach(function (b) { b.addEventListener("click", function () { show(b.dataset.show); }); });
  bar.hidden = false;
})();
