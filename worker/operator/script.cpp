// The page's script. Everything works without it; it adds how long ago things were, and keeps a form from
// being sent twice.
#include "worker/operator/assets.hpp"

namespace billing::worker::operators {

const std::string_view kScript = R"js('use strict';

const steps = [[60, 'second'], [60, 'minute'], [24, 'hour'], [365, 'day'], [Infinity, 'year']];
const ago = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

function relative(milliseconds) {
  let amount = milliseconds / 1000;
  for (const [size, unit] of steps) {
    if (Math.abs(amount) < size) return ago.format(Math.round(amount), unit);
    amount /= size;
  }
}

function tellTimes() {
  for (const time of document.querySelectorAll('time[datetime]')) {
    const at = Date.parse(time.dateTime);
    if (!Number.isNaN(at)) time.title = relative(at - Date.now());
  }
}

for (const form of document.querySelectorAll('form[method=post]')) {
  form.addEventListener('submit', event => {
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = 'yes';
  });
}
// Back from the page that a form led to, it may be sent again.
window.addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) delete form.dataset.sent;
});

// "/" leads to the first field that something can be looked for in.
document.addEventListener('keydown', event => {
  const typing = event.target.closest('input, select, textarea');
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const field = document.querySelector('form[method=get] input');
  if (!field) return;
  event.preventDefault();
  field.focus();
});

tellTimes();
setInterval(tellTimes, 30000);
)js";

const std::string_view kIcon =
    R"svg(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1f5fbf"/><path d="M3 12V9h2v3zm4 0V6h2v6zm4 0V3h2v9z" fill="#fff"/></svg>
)svg";

}  // namespace billing::worker::operators
