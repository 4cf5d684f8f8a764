#!/bin/sh
exec python predict.py
