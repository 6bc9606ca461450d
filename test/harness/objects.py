"""Stripe objects in their real shape, before and since API version 2025-03-31.basil. All values are our own."""
import copy
import dataclasses

OLD = "2020-08-27"
NEW = "2025-10-29.clover"
BASIL = "2025-03-31"
DAY = 86400
MONTH = 30 * DAY


def is_new(api_version):
    return api_version[:10] >= BASIL


def listing(elements, url):
    return {"object": "list", "data": elements, "has_more": False, "total_count": len(elements), "url": url}


@dataclasses.dataclass(frozen=True)
class Price:
    """A recurring price and the product it sells."""
    id: str
    unit_amount: int
    product: str
    name: str
    interval: str = "month"
    currency: str = "eur"
    lookup_key: str | None = None
    created: int = 1700000000
    metadata: dict = dataclasses.field(default_factory=dict, hash=False)
    usage_type: str = "licensed"

    def json(self, api_version):
        new = is_new(api_version)
        recurring = {"interval": self.interval, "interval_count": 1,
                     **({"meter": None} if new else {"aggregate_usage": None}),
                     "trial_period_days": None, "usage_type": self.usage_type}
        return {"id": self.id, "object": "price", "active": True, "billing_scheme": "per_unit",
                "created": self.created, "currency": self.currency,
                **({"custom_unit_amount": None} if new else {}),
                "livemode": False, "lookup_key": self.lookup_key, "metadata": dict(self.metadata), "nickname": self.name,
                "product": self.product, "recurring": recurring, "tax_behavior": "unspecified", "tiers_mode": None,
                "transform_quantity": None, "type": "recurring", "unit_amount": self.unit_amount,
                "unit_amount_decimal": str(self.unit_amount)}

    def plan(self, api_version):
        """The same as an object of the older Plans API, which still stands beside it."""
        return {"id": self.id, "object": "plan", "active": True,
                **({"meter": None} if is_new(api_version) else {"aggregate_usage": None}),
                "amount": self.unit_amount, "amount_decimal": str(self.unit_amount), "billing_scheme": "per_unit",
                "created": self.created, "currency": self.currency, "interval": self.interval, "interval_count": 1,
                "livemode": False, "metadata": dict(self.metadata), "nickname": self.name, "product": self.product,
                "tiers_mode": None, "transform_usage": None, "trial_period_days": None,
                "usage_type": self.usage_type}


BASIC = Price("price_basic_monthly", 900, "prod_basic", "Basic, monthly")
PRO = Price("price_pro_monthly", 2900, "prod_pro", "Pro, monthly", lookup_key="pro")
PRO_YEARLY = Price("price_pro_yearly", 29000, "prod_pro", "Pro, yearly", interval="year")
SEATS = Price("price_seat_monthly", 500, "prod_seats", "Extra seat, monthly")


def product(product_id, name, created=1700000000, metadata=None):
    return {"id": product_id, "object": "product", "active": True, "attributes": [], "created": created,
            "default_price": None, "description": None, "features": [], "images": [], "livemode": False,
            "marketing_features": [], "metadata": metadata or {}, "name": name, "package_dimensions": None, "shippable": None,
            "statement_descriptor": None, "tax_code": None, "type": "service", "unit_label": None,
            "updated": created, "url": None}


def customer(customer_id, created, api_version, *, email=None, name=None, metadata=None):
    return {"id": customer_id, "object": "customer", "address": None, "balance": 0, "created": created,
            "currency": None, "default_source": None, "delinquent": False, "description": None, "discount": None,
            "email": email, "invoice_prefix": customer_id[-6:].upper(),
            "invoice_settings": {"custom_fields": None, "default_payment_method": None, "footer": None,
                                 **({"rendering_options": None} if is_new(api_version) else {})},
            "livemode": False, "metadata": metadata or {}, "name": name, "next_invoice_sequence": 1, "phone": None,
            "preferred_locales": [], "shipping": None, "tax_exempt": "none", "test_clock": None}


def subscription_item(item_id, subscription_id, price, quantity, created, period, api_version):
    new = is_new(api_version)
    return {"id": item_id, "object": "subscription_item", "billing_thresholds": None, "created": created,
            **({"current_period_end": period[1], "current_period_start": period[0], "discounts": []} if new else {}),
            "metadata": {}, "plan": price.plan(api_version), "price": price.json(api_version), "quantity": quantity,
            "subscription": subscription_id, "tax_rates": []}


def subscription(subscription_id, customer_id, items, created, period, api_version, *, status="active", trial=None,
                 metadata=None, latest_invoice=None):
    """`items` is a list of (Price, quantity); `period` and `trial` are (start, end)."""
    new = is_new(api_version)
    single = items[0] if len(items) == 1 else None
    suffix = subscription_id.removeprefix("sub_")
    elements = [subscription_item(f"si_{suffix}_{number}", subscription_id, price, quantity, created, period,
                                  api_version) for number, (price, quantity) in enumerate(items, 1)]
    result = {
        "id": subscription_id, "object": "subscription", "application": None, "application_fee_percent": None,
        "automatic_tax": {"enabled": False, **({"disabled_reason": None, "liability": None} if new else {})},
        "billing_cycle_anchor": period[1] if trial else created, "billing_thresholds": None,
        "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None,
        "collection_method": "charge_automatically", "created": created, "currency": items[0][0].currency,
        "customer": customer_id, "days_until_due": None, "default_payment_method": None, "default_source": None,
        "default_tax_rates": [], "description": None, "ended_at": None,
        "items": listing(elements, f"/v1/subscription_items?subscription={subscription_id}"),
        "latest_invoice": latest_invoice, "livemode": False, "metadata": metadata or {},
        "next_pending_invoice_item_invoice": None, "pause_collection": None,
        "payment_settings": {"payment_method_options": None, "payment_method_types": None},
        "pending_invoice_item_interval": None, "pending_setup_intent": None, "pending_update": None,
        "plan": single[0].plan(api_version) if single else None, "quantity": single[1] if single else None,
        "schedule": None, "start_date": created, "status": status, "transfer_data": None,
        "trial_end": trial[1] if trial else None, "trial_start": trial[0] if trial else None,
    }
    if new:
        result |= {"billing_mode": {"flexible": {"proration_discounts": "included"}, "type": "flexible",
                                    "updated_at": created},
                   "cancellation_details": {"comment": None, "feedback": None, "reason": None}, "discounts": [],
                   "invoice_settings": {"account_tax_ids": None, "issuer": {"type": "self"}}, "on_behalf_of": None,
                   "test_clock": None,
                   "trial_settings": {"end_behavior": {"missing_payment_method": "create_invoice"}}}
    else:
        result |= {"current_period_end": period[1], "current_period_start": period[0], "discount": None}
    return result


def set_period(subscription_object, period, api_version):
    """Moves a subscription to another period, wherever its API version keeps that."""
    holders = subscription_object["items"]["data"] if is_new(api_version) else [subscription_object]
    for holder in holders:
        holder["current_period_start"], holder["current_period_end"] = period


def invoice_line(number, invoice_id, item, period, api_version):
    price, quantity = item["price"], item["quantity"]
    line = {"id": f"il_{invoice_id.removeprefix('in_')}_{number}", "object": "line_item",
            "amount": price["unit_amount"] * quantity, "currency": price["currency"],
            "description": f"{quantity} × {price['nickname']}", "discount_amounts": [], "discountable": True,
            "discounts": [], "livemode": False, "metadata": {}, "period": {"end": period[1], "start": period[0]},
            "quantity": quantity}
    if is_new(api_version):
        return line | {
            "invoice": invoice_id,
            "parent": {"invoice_item_details": None, "type": "subscription_item_details",
                       "subscription_item_details": {
                           "invoice_item": None, "proration": False, "proration_details": {"credited_items": None},
                           "subscription": item["subscription"], "subscription_item": item["id"]}},
            "pretax_credit_amounts": [],
            "pricing": {"price_details": {"price": price["id"], "product": price["product"]},
                        "type": "price_details", "unit_amount_decimal": price["unit_amount_decimal"]},
            "taxes": []}
    return line | {"plan": item["plan"], "price": price, "proration": False, "subscription": item["subscription"],
                   "subscription_item": item["id"], "tax_amounts": [], "tax_rates": [], "type": "subscription"}


def invoice(invoice_id, subscription_object, created, period, api_version, *, reason="subscription_cycle",
            paid=False, attempts=1, free=False):
    """The invoice for one period of a subscription. `free` is the zero-amount invoice of a trial's start."""
    new = is_new(api_version)
    lines = [invoice_line(number, invoice_id, item, period, api_version)
             for number, item in enumerate(subscription_object["items"]["data"], 1)]
    if free:
        for line in lines:
            line["amount"] = 0
    total = sum(line["amount"] for line in lines)
    suffix = invoice_id.removeprefix("in_")
    metadata = copy.deepcopy(subscription_object["metadata"])
    result = {
        "id": invoice_id, "object": "invoice", "account_country": "IE", "account_name": "Example Ltd",
        "account_tax_ids": None, "amount_due": total, "amount_paid": total if paid else 0,
        "amount_remaining": 0 if paid else total, "attempt_count": attempts, "attempted": attempts > 0,
        "auto_advance": not paid, "billing_reason": reason, "collection_method": "charge_automatically",
        "created": created, "currency": lines[0]["currency"], "custom_fields": None,
        "customer": subscription_object["customer"], "customer_email": None, "default_tax_rates": [],
        "description": None, "discounts": [], "due_date": None, "ending_balance": 0 if paid else None,
        "lines": listing(lines, f"/v1/invoices/{invoice_id}/lines"), "livemode": False, "metadata": {},
        "next_payment_attempt": None if paid else created + 3 * DAY, "number": f"{suffix.upper()}-0001",
        "period_end": period[0], "period_start": period[0], "starting_balance": 0, "status": "paid" if paid else "open",
        "status_transitions": {"finalized_at": created, "marked_uncollectible_at": None,
                               "paid_at": created if paid else None, "voided_at": None},
        "subtotal": total, "total": total, "webhooks_delivered_at": created,
    }
    if new:
        payment = {"id": f"inpay_{suffix}", "object": "invoice_payment", "amount_paid": total if paid else None,
                   "amount_requested": total, "created": created, "currency": result["currency"],
                   "invoice": invoice_id, "is_default": True, "livemode": False,
                   "payment": {"payment_intent": f"pi_{suffix}", "type": "payment_intent"},
                   "status": "paid" if paid else "open",
                   "status_transitions": {"canceled_at": None, "paid_at": created if paid else None}}
        return result | {
            "amount_overpaid": 0,
            "parent": {"quote_details": None, "type": "subscription_details",
                       "subscription_details": {"metadata": metadata, "subscription": subscription_object["id"]}},
            "payments": listing([] if free else [payment], "/v1/invoices/payments"), "total_taxes": []}
    return result | {"charge": None if free or not paid else f"ch_{suffix}", "discount": None, "paid": paid,
                     "payment_intent": None if free else f"pi_{suffix}", "subscription": subscription_object["id"],
                     "tax": None, "total_tax_amounts": []}


def checkout_session(session_id, customer_id, subscription_id, created, total, currency, *, user_id=None, email=None,
                     metadata=None):
    return {"id": session_id, "object": "checkout.session", "after_expiration": None, "allow_promotion_codes": None,
            "amount_subtotal": total, "amount_total": total, "automatic_tax": {"enabled": False, "status": None},
            "billing_address_collection": None, "cancel_url": "https://shop.example/cancel",
            "client_reference_id": user_id, "consent": None, "created": created, "currency": currency,
            "customer": customer_id, "customer_creation": "always",
            "customer_details": {"address": None, "email": email, "name": None, "phone": None, "tax_exempt": "none",
                                 "tax_ids": []},
            "customer_email": email, "expires_at": created + DAY, "invoice": None, "livemode": False, "locale": None,
            "metadata": metadata or {}, "mode": "subscription", "payment_intent": None, "payment_link": None,
            "payment_method_types": ["card"], "payment_status": "paid", "setup_intent": None, "shipping": None,
            "status": "complete", "submit_type": None, "subscription": subscription_id,
            "success_url": "https://shop.example/thanks",
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0}, "url": None}


def test_clock(clock_id, frozen_time, status="ready"):
    return {"id": clock_id, "object": "test_helpers.test_clock", "created": 1700000000, "deletes_after": 1702592000,
            "frozen_time": frozen_time, "livemode": False, "name": None,
            "status": "ready" if status == "created" else status, "status_details": {}}


def schedule(schedule_id, subscription_object, created, phases, current):
    """`phases` is a list of (Price, quantity, start, end)."""
    def phase(price, quantity, start, end):
        return {"add_invoice_items": [], "application_fee_percent": None, "billing_cycle_anchor": None,
                "collection_method": None, "coupon": None, "currency": price.currency, "default_tax_rates": [],
                "description": None, "end_date": end, "invoice_settings": None,
                "items": [{"billing_thresholds": None, "metadata": {}, "plan": price.id, "price": price.id,
                           "quantity": quantity, "tax_rates": []}],
                "metadata": {}, "proration_behavior": "create_prorations", "start_date": start,
                "transfer_data": None, "trial_end": None}
    return {"id": schedule_id, "object": "subscription_schedule", "application": None, "canceled_at": None,
            "completed_at": None, "created": created, "current_phase": {"end_date": current[1],
                                                                        "start_date": current[0]},
            "customer": subscription_object["customer"],
            "default_settings": {"billing_cycle_anchor": "automatic", "collection_method": "charge_automatically"},
            "end_behavior": "release", "livemode": False, "metadata": {},
            "phases": [phase(*each) for each in phases], "released_at": None, "released_subscription": None,
            "status": "active", "subscription": subscription_object["id"], "test_clock": None}
