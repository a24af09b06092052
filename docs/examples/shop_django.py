"""A shop in Django: when it checks, holds, redeems and gives back, and how it receives events.

Needs `pip install django standardwebhooks`, and client/voucherpool_client.py beside this file.

VOUCHERPOOL_URL=https://vouchers.example.com VOUCHERPOOL_KEY=vp_… \
VOUCHERPOOL_WEBHOOK_SECRET=whsec_… python3 shop_django.py
"""

import hashlib
import json
import os
import secrets
from decimal import Decimal
from wsgiref.simple_server import make_server

import django
from django.conf import settings

# Only so that this file runs on its own: your project has its settings.
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ.get("SHOP_DATABASE", "shop.sqlite3"),
        }
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_urlsafe(),
)
django.setup()

from django.core.handlers.wsgi import WSGIHandler
from django.db import connection, models, transaction
from django.http import HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.http import require_POST
from standardwebhooks import Webhook, WebhookVerificationError
from voucherpool_client import Client, Refused

client = Client(
    os.environ.get("VOUCHERPOOL_URL", "http://127.0.0.1:5000"), os.environ.get("VOUCHERPOOL_KEY")
)
webhook = Webhook(os.environ["VOUCHERPOOL_WEBHOOK_SECRET"])


class Order(models.Model):
    """An order with one voucher. `booked` is what the events say that its voucher took off."""

    ref = models.CharField(max_length=100, primary_key=True)
    email = models.CharField(max_length=254)
    code = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=12, decimal_places=2)
    state = models.CharField(max_length=20, default="open")
    hold_id = models.CharField(max_length=36, default="")
    discount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    booked = models.DecimalField(max_digits=12, decimal_places=2, default=0)

    class Meta:
        app_label = "shop"

    def terms(self):
        """Return what the service must know of the order."""
        return {
            "code": self.code,
            "email": self.email,
            "order_amount": self.amount,
            "currency": "EUR",
            "create_customer": True,  # a guest becomes a customer when the voucher is held
        }


class ReceivedEvent(models.Model):
    """An event that was worked on; the database refuses the same id twice."""

    id = models.CharField(max_length=255, primary_key=True)

    class Meta:
        app_label = "shop"


@require_POST
def put_into_cart(request):
    """Check, when the customer types the code: nothing changes, and nothing is reserved."""
    # In your shop the amount comes from the cart that you keep, not from the browser.
    given = json.loads(request.body)
    order = Order(**{name: given[name] for name in ("ref", "email", "code", "amount")})
    visitor = hashlib.sha256(request.META["REMOTE_ADDR"].encode()).hexdigest()
    checked = client.check_voucher(**order.terms(), client_ref=visitor)
    if not checked["redeemable"]:
        return JsonResponse({"reason": checked["reason"]}, status=409)
    order.save(force_insert=True)
    return JsonResponse({"discount": checked["discount_amount"]}, status=201)


@require_POST
def begin_payment(request, ref):
    """Hold, when the payment begins: nobody else takes the use, and the price stays."""
    order = get_object_or_404(Order, ref=ref)
    try:
        # As long as your payment provider lets a customer take.
        held = client.hold_voucher(**order.terms(), ttl_seconds=1800)
    except Refused as refused:
        # Somebody was faster: show the full price before anything is paid.
        return JsonResponse({"reason": refused.code}, status=409)
    Order.objects.filter(ref=ref).update(hold_id=held["hold_id"])
    return HttpResponse(status=204)


@require_POST
def payment_succeeded(request, ref):
    """Redeem, when the money is there. Payment providers call this more than once."""
    # Commit first. Whatever happens then, the order is known to be paid and not redeemed yet.
    Order.objects.filter(ref=ref, state="open").update(state="paid")
    redeem(get_object_or_404(Order, ref=ref, state="paid"))
    return HttpResponse(status=204)


def redeem(order):
    """Redeem the voucher of a paid order; a repeat for the same order_ref changes nothing.

    Let a job call this again for the orders that are paid and have no discount: this process or
    its machine may have stopped before the answer came.
    """
    try:
        redeemed = client.redeem_voucher(
            **order.terms(), order_ref=order.ref, idempotency_key=f"redeem-{order.ref}"
        )
    except Refused as refused:
        # The customer has paid the lower price, so honour it; and let somebody look why.
        print(f"Order {order.ref} was paid, but its voucher is not redeemed: {refused}")
        return
    Order.objects.filter(ref=order.ref).update(discount=redeemed["discount_amount"])


@require_POST
def payment_failed(request, ref):
    """Release, when the payment failed: others can use the voucher at once."""
    order = get_object_or_404(Order, ref=ref, state="open")
    if order.hold_id:
        client.release_hold(hold_id=order.hold_id)
    return HttpResponse(status=204)


@require_POST
def cancel(request, ref):
    """Give back, when a paid order is cancelled: all vouchers of the order, however often asked."""
    Order.objects.filter(ref=ref).update(state="cancelled")
    client.reverse_order(order_ref=ref, reason="cancelled by the customer")
    return HttpResponse(status=204)


# Only `/events` takes what others send; a project with CsrfViewMiddleware adds @csrf_exempt here.
@require_POST
def receive(request):
    """Receive an event: forged and old ones are refused, one that came before changes nothing."""
    try:
        webhook.verify(request.body, dict(request.headers))
    except (WebhookVerificationError, ValueError):
        return HttpResponse(status=400)
    with transaction.atomic():  # the id and its effect, both or none
        _, is_new = ReceivedEvent.objects.get_or_create(id=request.headers["webhook-id"])
        if is_new:
            book(json.loads(request.body, parse_float=Decimal))
    return HttpResponse(status=204)


def book(event):
    """Add what a voucher took off its order, or subtract what was given back."""
    signs = {"voucher.redeemed": 1, "redemption.reversed": -1}
    sign, redemption = signs.get(event["type"]), event["data"].get("redemption")
    if sign and redemption["order_ref"] and redemption["discount_amount"]:
        booked = models.F("booked") + sign * redemption["discount_amount"]
        Order.objects.filter(ref=redemption["order_ref"]).update(booked=booked)


def show(request, ref):
    """Show an order."""
    order = get_object_or_404(Order, ref=ref)
    shown = {"state": order.state, "discount": order.discount, "booked": order.booked}
    return JsonResponse(shown)


urlpatterns = [
    path("orders", put_into_cart),
    path("orders/<ref>/payment", begin_payment),
    path("orders/<ref>/payment-succeeded", payment_succeeded),
    path("orders/<ref>/payment-failed", payment_failed),
    path("orders/<ref>/cancel", cancel),
    path("orders/<ref>", show),
    path("events", receive),
]

if __name__ == "__main__":
    with connection.schema_editor() as editor:  # your project has migrations
        editor.create_model(Order)
        editor.create_model(ReceivedEvent)
    with make_server("127.0.0.1", int(os.environ.get("PORT", "9000")), WSGIHandler()) as server:
        server.serve_forever()
